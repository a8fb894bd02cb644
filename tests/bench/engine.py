"""Our engine against transformers' continuous batching and static generate: same model, same work.

Greedy, one torch thread, random prompts; answers are compared token by token. Each round is fresh
prompts, done by all contenders one after the other; the figures are medians over the rounds, and a
ratio is the median of the rounds' own ratios, so that a drifting machine still tells the truth.

`even` work has prompts and answers of one length: the best case of static generate, which pads to
the longest. `mixed` work is what a server sees: lengths from a quarter to seven quarters of the
even ones. Run from the repository: python -m tests.bench.engine --help
"""

import argparse
import asyncio
import copy
import json
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import (
    AutoModelForCausalLM,
    ContinuousBatchingConfig,
    GenerationConfig,
    GlmConfig,
    GlmForCausalLM,
)
from transformers.utils import logging as transformers_logging

import serve_app
from serve_app.engine.dialects import Piece, Text
from serve_app.engine.engine import Engine
from serve_app.engine.grammar.form import Form
from serve_app.engine.model import ModelRunner
from serve_app.messages import ChatRequest, Delta, Message, Request, Role, Sampling
from serve_app.settings import EngineSettings

NANO = Path(serve_app.__file__).parent / "models" / "weights" / "glm-nano"
OURS, BATCHING, STATIC = "glm-serve", "transformers continuous batching", "transformers generate"
LETTERS = 0x4E00  # where the alphabet of token ids begins: Han characters, one an id
STEP_TOKENS = 512

Prompts = list[list[int]]
Answers = list[list[int]]


@dataclass(frozen=True)
class Work:
    """One round: prompts, and how many tokens each answer has."""

    prompts: Prompts
    new_tokens: list[int]


@dataclass(frozen=True)
class Taken:
    """What one contender took for one round."""

    wall_s: float
    cpu_s: float
    answers: Answers


@dataclass(frozen=True)
class Row:
    """One line of the table: medians over the rounds."""

    work: str
    contender: str
    streams: int
    tokens_per_s: float
    tokens_per_cpu_s: float
    ours_ahead: float  # our tokens a CPU-second over this contender's
    same_answers: bool


class Ids:
    """A tokenizer whose text is the ids themselves."""

    stopped = False
    calls = 0
    may_stop = False
    stopped_by = None

    def render(self, request: ChatRequest) -> list[int]:
        return [ord(letter) - LETTERS for letter in request.messages[0].content]

    def transcript(self, _: ChatRequest) -> "Ids":
        return self

    def add_all(self, tokens: Sequence[int]) -> list[Piece]:
        return [Text("".join(chr(LETTERS + token) for token in tokens))]

    def end(self, token: int) -> list[Piece]:
        return self.add_all([token])

    def close(self) -> list[Piece]:
        return []

    def form(self, _: Request) -> None: ...

    def check(self, ids: Sequence[int], _: str) -> Sequence[int]:
        return ids

    def spellings(self, word: str) -> list[list[int]]:
        return [[ord(letter) - LETTERS for letter in word]]

    def control(self, _: int) -> str:
        return ""

    def pieces(self, ids: Iterable[int]) -> list[str]:
        return [self.spell([token]) for token in ids]

    def about(self) -> Mapping[str, Any]:
        return {}

    def spell(self, ids: Iterable[int]) -> str:
        return "".join(chr(LETTERS + token) for token in ids)

    def token_bytes(self, token: int) -> bytes:
        return chr(LETTERS + token).encode()


class Unbound:
    """Grammars that are never asked for."""

    async def compile(self, _: Form) -> None: ...

    def close(self) -> None: ...


class Clock:
    """Seconds of the wall and of the CPU, over all threads."""

    def __init__(self) -> None:
        self._begin = time.perf_counter(), time.process_time()

    def stop(self, answers: Answers) -> Taken:
        wall_s = time.perf_counter() - self._begin[0]
        return Taken(wall_s, time.process_time() - self._begin[1], answers)


def ours(model: Any, work: Work) -> Taken:
    """The whole engine: admission, thread, text, asynchronous readers."""
    settings = EngineSettings(step_tokens=STEP_TOKENS)
    engine = Engine(
        runner=ModelRunner(model, settings),
        tokenizer=Ids(),
        grammars=Unbound(),
        settings=settings,
        context_tokens=settings.kv_tokens,
        eos_ids=(),
    )
    return asyncio.run(_serve(engine, work))


async def _serve(engine: Engine, work: Work) -> Taken:
    engine.start()
    await _read(engine, Work([work.prompts[0][:4]], [2]), 0)
    clock = Clock()
    readers = (_read(engine, work, number) for number in range(len(work.prompts)))
    taken = clock.stop(await asyncio.gather(*readers))
    await engine.stop()
    return taken


async def _read(engine: Engine, work: Work, number: int) -> list[int]:
    text = "".join(chr(LETTERS + token) for token in work.prompts[number])
    sampling = Sampling(max_tokens=work.new_tokens[number])
    request = ChatRequest(str(number), "bench", (Message(Role.USER, text),), sampling)
    async with aclosing(engine.generate(request)) as events:
        said = [event.text async for event in events if isinstance(event, Delta)]
    return [ord(letter) - LETTERS for letter in "".join(said)]


def batching(model: Any, work: Work) -> Taken:
    model.set_attn_implementation("sdpa")
    config = ContinuousBatchingConfig(page_size=32, num_blocks=1024, max_batch_tokens=STEP_TOKENS)
    wishes = GenerationConfig(
        max_new_tokens=max(work.new_tokens), do_sample=False, eos_token_id=-1, pad_token_id=0
    )
    manager = model.init_continuous_batching(
        generation_config=wishes, continuous_batching_config=config
    )
    manager.start()
    try:
        _collect(manager, Work([work.prompts[0][:4]], [2]))
        clock = Clock()
        return clock.stop(_collect(manager, work))
    finally:
        manager.stop(block=True)
        manager.destroy()


def _collect(manager: Any, work: Work) -> Answers:
    names = [
        manager.add_request(prompt, max_new_tokens=count)
        for prompt, count in zip(work.prompts, work.new_tokens, strict=True)
    ]
    done: dict[str, list[int]] = {}
    while len(done) < len(names):
        output = manager.get_result(timeout=60)
        if output is not None and output.is_finished():
            done[output.request_id] = output.generated_tokens
    return [done[name] for name in names]


@torch.inference_mode()
def static(model: Any, work: Work) -> Taken:
    model.set_attn_implementation("sdpa")
    longest = max(map(len, work.prompts))
    ids = torch.tensor([[0] * (longest - len(its)) + its for its in work.prompts])
    real = torch.tensor([[0] * (longest - len(its)) + [1] * len(its) for its in work.prompts])
    clock = Clock()
    whole = model.generate(
        ids,
        attention_mask=real,
        max_new_tokens=max(work.new_tokens),
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    answers = whole[:, longest:].tolist()
    return clock.stop([its[:count] for its, count in zip(answers, work.new_tokens, strict=True)])


CONTENDERS: dict[str, Callable[[Any, Work], Taken]] = {
    OURS: ours,
    BATCHING: batching,
    STATIC: static,
}


def load_model(folder: Path) -> tuple[Any, str]:
    """The model in the box if it is there, else random weights in its shape."""
    if folder.exists():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), folder.name
    torch.manual_seed(0)
    config = GlmConfig(
        vocab_size=2048,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=8192,
        pad_token_id=0,
    )
    return GlmForCausalLM(config).eval(), "random weights in glm-nano's shape"


def even(streams: int, prompt_tokens: int, new_tokens: int, vocabulary: int, seed: int) -> Work:
    chance = random.Random(seed)
    prompts = [chance.choices(range(2, vocabulary), k=prompt_tokens) for _ in range(streams)]
    return Work(prompts, [new_tokens] * streams)


def mixed(streams: int, prompt_tokens: int, new_tokens: int, vocabulary: int, seed: int) -> Work:
    chance = random.Random(seed)

    def about(tokens: int) -> int:
        return chance.randint(tokens // 4, tokens * 7 // 4)

    lengths = [about(prompt_tokens) for _ in range(streams)]
    prompts = [chance.choices(range(2, vocabulary), k=length) for length in lengths]
    return Work(prompts, [about(new_tokens) for _ in range(streams)])


WORKS: dict[str, Callable[[int, int, int, int, int], Work]] = {"even": even, "mixed": mixed}


def race(model: Any, kind: str, streams: int, arguments: argparse.Namespace) -> list[Row]:
    """Let all contenders do the same rounds, one after the other, each on a model of its own."""
    models = {name: copy.deepcopy(model) for name in CONTENDERS}
    warm = WORKS[kind](streams, 8, 4, model.config.vocab_size, -1)
    taken: dict[str, list[Taken]] = {name: [] for name in CONTENDERS}
    shape = streams, arguments.prompt_tokens, arguments.new_tokens, model.config.vocab_size
    works = [WORKS[kind](*shape, seed) for seed in range(arguments.rounds)]
    for name, contend in CONTENDERS.items():
        contend(models[name], warm)
    for work in works:
        for name, contend in CONTENDERS.items():
            taken[name].append(contend(models[name], work))
    counts = [sum(work.new_tokens) for work in works]
    return [
        Row(
            work=kind,
            contender=name,
            streams=streams,
            tokens_per_s=median(map(truediv, counts, (each.wall_s for each in its))),
            tokens_per_cpu_s=median(map(truediv, counts, (each.cpu_s for each in its))),
            ours_ahead=median(
                theirs.cpu_s / own.cpu_s for theirs, own in zip(its, taken[OURS], strict=True)
            ),
            same_answers=[each.answers for each in its] == [each.answers for each in taken[STATIC]],
        )
        for name, its in taken.items()
    ]


def table(rows: Sequence[Row]) -> Table:
    shown = Table(
        "work", "streams", "contender", "tokens/s", "tokens/CPU-s", "ours is", "same answers"
    )
    for row in rows:
        shown.add_row(
            row.work,
            str(row.streams),
            row.contender,
            f"{row.tokens_per_s:,.0f}",
            f"{row.tokens_per_cpu_s:,.0f}",
            "" if row.contender == OURS else f"{row.ours_ahead:.2f} x",
            "yes" if row.same_answers else "NO",
            end_section=row.contender == STATIC,
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=NANO, help="folder of a GLM in safetensors")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--prompt-tokens", type=int, default=48)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.CRITICAL)
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    model, name = load_model(arguments.model)
    races = [(kind, streams) for kind in WORKS for streams in arguments.streams]
    rows = [row for kind, streams in races for row in race(model, kind, streams, arguments)]
    console = Console()
    console.print(table(rows))
    console.print(
        f"{name}; {arguments.prompt_tokens} tokens in, {arguments.new_tokens} out; torch"
        f" {version('torch')}, transformers {version('transformers')}; ratios per CPU-second"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
