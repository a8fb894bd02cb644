"""Two ranks of the runner on a CPU, its kernels interpreted: the same tokens as one."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from serve_app.engine.batch import Batch, Row
from serve_app.engine.choice import Choice
from serve_app.engine.flight import Flight
from serve_app.engine.gpu.kernels import decode_shape
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.leading import Following, LeadingRunner
from serve_app.engine.limits import Limits
from serve_app.engine.sequence import Sequence
from serve_app.models import blueprint
from serve_app.models.fill import fill
from serve_app.models.precision import Precision
from serve_app.models.shares import Share
from serve_app.models.skeleton import skeleton
from serve_app.settings import EngineSettings
from tests.engine.parts import build

pytestmark = pytest.mark.timeout(300)  # interpreted kernels, for each rank

SIZE = 4  # tokens a page
WORDS = 64
SETTINGS = EngineSettings(page_tokens=SIZE, kv_tokens=64 * SIZE, max_running=4)


@pytest.fixture(autouse=True)
def _few_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one program do what a card does side by side: it takes turns here."""
    monkeypatch.setattr(decode_shape, "_ENOUGH", 4)


class Table:
    """Where ranks that are threads put what they tell each other; one computes at a time."""

    def __init__(self, ranks: int) -> None:
        self.turn = threading.Lock()  # interpreted kernels are not for two threads
        self._barrier = threading.Barrier(ranks)
        self._parts: list[Tensor] = [torch.empty(0)] * ranks

    def exchange(self, rank: int, part: Tensor) -> list[Tensor]:
        self._parts[rank] = part.clone()
        self._meet()
        parts = list(self._parts)
        self._meet()
        return parts

    def _meet(self) -> None:
        self.turn.release()
        self._barrier.wait()
        self.turn.acquire()


class Threaded:
    """One rank of several in this process."""

    near = None

    def __init__(self, table: Table, rank: int) -> None:
        self.leads = rank == 0
        self._exchange = partial(table.exchange, rank)

    def share(self, own: Tensor) -> Tensor:
        return self._exchange(own)[0].clone()

    def total(self, part: Tensor) -> Tensor:
        return torch.stack(self._exchange(part)).sum(0)

    def gather(self, part: Tensor) -> Tensor:
        parts = self._exchange(part)
        return torch.cat(parts, -1) if self.leads else part


class Crew:
    """The other ranks, each a thread that obeys what it is told."""

    is_lost = False

    def __init__(self, folder: Path, ranks: int) -> None:
        self._table = Table(ranks)
        self._threads = ThreadPoolExecutor(ranks)
        shares = [share(folder, rank, ranks) for rank in range(ranks)]
        made = [
            self._threads.submit(self._runner, model, rank) for rank, model in enumerate(shares)
        ]
        first, *others = [each.result() for each in made]
        self._others = [Following(each) for each in others]
        self._leading = LeadingRunner(first, self, Limits.of(SETTINGS))

    def tell(self, message: bytes) -> None:
        for each in self._others:
            self._threads.submit(self._in_turn, each.obey, message)

    def begin(self, batch: Batch) -> Flight:
        return self._in_turn(self._leading.begin, batch)

    def watch(self, on_loss: Callable[[], None]) -> None: ...

    def dismiss(self) -> None:
        self._threads.shutdown()

    def _runner(self, model: Any, rank: int) -> GpuRunner:
        return self._in_turn(GpuRunner, model, SETTINGS, Threaded(self._table, rank))

    def _in_turn(self, call: Callable[..., Any], *given: Any) -> Any:
        with self._table.turn:
            return call(*given)


def share(folder: Path, rank: int, ranks: int) -> Any:
    built, own = blueprint.architecture(folder), Share(rank, ranks)
    sources = own.sources(blueprint.sources(folder, built), built)
    precision = Precision("float32")
    model = skeleton(own.of(built), precision, sources)
    fill(model, sources, precision, torch.device("cpu"))
    return model


def likeliest(model: Any, tokens: list[int], count: int) -> list[int]:
    found = list(tokens)
    with torch.inference_mode():
        for _ in range(count):
            found.append(int(model(torch.tensor([found])).logits[0, -1].argmax()))
    return found[len(tokens) :]


@pytest.mark.parametrize(("family", "ranks"), [("glm", 2), ("glm4", 2), ("glm", 4)])
def test_ranks_say_together_what_the_whole_model_says(
    family: str, ranks: int, tmp_path: Path
) -> None:
    """With four ranks and two heads of keys, two ranks hold the same head."""
    model = build(family, torch.float32, WORDS)
    model.save_pretrained(tmp_path)
    words = [token % WORDS for token in range(3, 70, 7)]
    wanted = likeliest(model, words, 3)
    crew = Crew(tmp_path, ranks)
    one = Sequence(list(words), 8, Choice())
    pages = list(range(5))
    crew.begin(Batch((), (Row(one, 0, 6, False, pages),))).draws()
    first = crew.begin(Batch((), (Row(one, 6, len(words) - 6, True, pages),)))
    rest = [crew.begin(Batch((Row(one, place, 1, True, pages),))) for place in (10, 11)]
    assert [flight.draws().tokens[0] for flight in (first, *rest)] == wanted
    crew.dismiss()


def test_a_draft_is_checked_by_all_ranks(tmp_path: Path) -> None:
    model = build("glm", torch.float32, WORDS)
    model.save_pretrained(tmp_path)
    words = [token % WORDS for token in range(3, 70, 7)]
    wanted = likeliest(model, words, 3)
    crew = Crew(tmp_path, 2)
    one = Sequence(list(words), 8, Choice())
    pages = list(range(5))
    one.tokens += crew.begin(Batch((), (Row(one, 0, 10, True, pages),))).draws().tokens
    draft = (wanted[1], 7)
    draws = crew.begin(Batch((Row(one, 10, 1, True, pages, draft),))).draws()
    assert draws.tokens == [wanted[1]]
    assert draws.more == {0: [wanted[2]]}
    crew.dismiss()
