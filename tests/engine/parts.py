"""What several tests of the engine build with."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import Glm4Config, Glm4ForCausalLM, GlmConfig, GlmForCausalLM

from serve_app.engine.draws import Draws
from serve_app.engine.engine import Engine
from serve_app.engine.flight import Flight, Runner
from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.grammars import Grammars
from serve_app.engine.model import ModelRunner
from serve_app.engine.scheduler import Batch, Limits, Scheduler
from serve_app.engine.sequence import Sequence
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.messages import ChatRequest, Delta, EngineStats, Event, Message, Role, Sampling
from serve_app.settings import EngineSettings

VOCABULARY = 512
CONTEXT = 512
SPECIAL = (
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
)
TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
Start = Callable[..., AbstractAsyncContextManager[Engine]]

FAMILIES: Mapping[str, tuple[Callable[..., Any], Any]] = {
    "glm": (GlmConfig, GlmForCausalLM),
    "glm4": (Glm4Config, Glm4ForCausalLM),
}


@dataclass(frozen=True)
class Twins:
    """Two models with equal weights."""

    served: Any
    reference: Any

    def generate(self, prompt: list[int], count: int) -> list[int]:
        """What transformers generates greedily."""
        ids = torch.tensor([prompt])
        whole = self.reference.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
        )
        return whole[0, len(prompt) :].tolist()

    @torch.inference_mode()
    def likeliest(self, tokens: list[int]) -> list[int]:
        """The likeliest next token after each beginning of `tokens`."""
        return self.reference(torch.tensor([tokens])).logits[0].argmax(-1).tolist()


def build(family: str, dtype: torch.dtype, vocabulary: int = VOCABULARY) -> Any:
    torch.manual_seed(0)
    config, model = FAMILIES[family]
    return model._from_config(
        config(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=CONTEXT,
            pad_token_id=0,
            eos_token_id=[1],
            initializer_range=0.3,
        ),
        dtype=dtype,
        attn_implementation="sdpa",
    ).eval()


def prompt(seed: int, length: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, VOCABULARY, (length,), generator=generator).tolist()


class Machine:
    """A scheduler and a model, stepped by hand; the books are checked after each step."""

    def __init__(self, model: Any, settings: EngineSettings) -> None:
        self.scheduler = Scheduler(Limits.of(settings))
        self.runner = ModelRunner(model, settings)

    def step(self) -> Batch:
        """Compute the next batch, if there is anything to compute."""
        batch = self.scheduler.schedule()
        if batch:
            self.scheduler.apply(batch, self.runner.run(batch))
        self.scheduler.blocks.check()
        return batch

    def finish(self, sequences: Iterable[Sequence] = ()) -> None:
        for sequence in sequences:
            self.scheduler.add(sequence)
        while self.scheduler.running or self.scheduler.waiting:
            self.step()


def answer(sequence: Sequence) -> list[int]:
    return sequence.tokens[sequence.prompt_tokens :]


def ask(text: str = "hello", request_id: str = "r", **sampling: Any) -> ChatRequest:
    message = Message(Role.USER, text)
    return ChatRequest(request_id, "glm", (message,), Sampling(**sampling))


class Turnstile:
    """A runner that computes a step when told to."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._arrived = threading.Semaphore(0)
        self._allowed = threading.Semaphore(0)

    def begin(self, batch: Batch) -> Flight:
        self._arrived.release()
        self._allowed.acquire()
        return self._runner.begin(batch)

    async def arrival(self) -> None:
        """Wait until the engine is inside its next step."""
        await asyncio.to_thread(self._arrived.acquire)

    def allow(self, steps: int) -> None:
        self._allowed.release(steps)


class Late:
    """A runner that computes a step when it is read: until then its tokens are awaited."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def begin(self, batch: Batch) -> Flight:
        return Underway(self._runner, batch)


@dataclass(frozen=True)
class Underway:
    """A step whose tokens are not here; rows of who has gone meanwhile come to nothing."""

    runner: Runner
    batch: Batch

    @property
    def landed(self) -> bool:
        return any(row.sequence.by_host for row in self.batch.drawing)

    @property
    def is_over(self) -> bool:
        return True

    def draws(self) -> Draws:
        held = replace(self.batch.held(), moves=self.batch.moves)
        if not held:
            return Draws([0] * len(self.batch.drawing))
        draws = self.runner.begin(held).draws()
        places = {id(row): place for place, row in enumerate(held.drawing)}
        known = [places.get(id(row)) for row in self.batch.drawing]
        return Draws(
            [0 if place is None else draws.tokens[place] for place in known],
            {at: draws.chances[place] for at, place in enumerate(known) if place in draws.chances},
            draws.prompt_chances,
            {at: draws.more[place] for at, place in enumerate(known) if place in draws.more},
        )


def grammars_of(tokenizer: ChatTokenizer, chosen: EngineSettings) -> Grammars:
    """An answer that a grammar binds ends as GLM's do."""
    known = tokenizer.vocabulary
    ends = (known.control["<|endoftext|>"], known.control["<|user|>"])
    alphabet = Alphabet(known.token_bytes, known.control.values(), ends)
    return Grammars(alphabet, chosen.structure_max_bytes, chosen.structure_compile_s)


async def until(condition: Callable[[], object]) -> None:
    """Let the engine's thread and other tasks go on until something is so."""
    while not condition():  # noqa: ASYNC110 - nobody is told, and nothing is measured
        await asyncio.sleep(0)


def settings(**fields: Any) -> EngineSettings:
    """Events go out as they come, unless a test says otherwise."""
    return EngineSettings(**{"yields_per_s": 10**9, **fields})


async def read(engine: Engine, request: ChatRequest) -> list[Event]:
    async with aclosing(engine.generate(request)) as events:
        return [event async for event in events]


def is_idle(stats: EngineStats) -> bool:
    """Nobody runs or waits, and no page is held."""
    return (stats.running, stats.waiting, stats.kv_usage) == (0, 0, 0.0)


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))
