"""Long documents computed, found on the card, brought back from the host; and what chats notice.

usage: python -m tests.gpu.host_kv [auto|fp8]     one card, 60 s
       python -m tests.gpu.host_kv cpu            glm-nano, to try the script itself
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from serve_app.engine.engine import Engine
from serve_app.engine.limits import Limits
from serve_app.engine.model import ModelRunner
from serve_app.engine.moves import NOTHING, Moves
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.messages import CompletionRequest, Delta, Finish, Handling, Sampling
from serve_app.settings import EngineSettings
from tests.gpu import shape, tokens
from tests.gpu.arguments import given
from tests.gpu.correctness import NANO
from tests.gpu.engine import engine_of
from tests.gpu.figures import Figures

CHAT, ANSWER = 64, 8


@dataclass(frozen=True)
class Work:
    """What is measured: prompts in tokens, and how many streams decode beside."""

    documents: tuple[int, int]  # a shorter and a longer one
    streams: int
    stream_tokens: int
    words: int  # of the vocabulary
    link_bytes: int


CARD = Work((32_000, 126_000), streams=16, stream_tokens=384, words=150_000, link_bytes=2**31)
TRIAL = Work((600, 2_000), streams=3, stream_tokens=24, words=1_900, link_bytes=2**24)


@dataclass(frozen=True)
class Bench:
    """An engine, what computes for it, and bytes a KV token."""

    engine: Engine
    runner: Any
    settings: EngineSettings
    token_bytes: int
    work: Work


@dataclass(frozen=True)
class Seen:
    """One answer: when what came, and what was not computed for it."""

    first_s: float
    gaps_ms: tuple[float, ...]
    cached: int
    tokens: tuple[int, ...]


def on_card(dtype: str) -> Bench:
    from serve_app.engine.gpu.runner import GpuRunner  # noqa: PLC0415 - needs Triton

    room = CARD.documents[1] + CARD.streams * (CHAT + CARD.stream_tokens) + 8_192
    settings = shape.settings(
        kv_dtype=dtype,
        kv_tokens=room,
        host_kv_tokens=3 * CARD.documents[1],
        max_running=64,
        yields_per_s=10**9,
    )
    runner, known = GpuRunner(shape.model(), settings), tokens.tokenizer()
    return bench_of(runner, known, settings, runner._cache.token_bytes, CARD)


def on_cpu() -> Bench:
    torch.set_num_threads(1)
    room = TRIAL.documents[1] + TRIAL.streams * (CHAT + TRIAL.stream_tokens) + 128
    settings = EngineSettings(
        kv_tokens=room, host_kv_tokens=3 * TRIAL.documents[1], yields_per_s=10**9
    )
    runner = ModelRunner(AutoModelForCausalLM.from_pretrained(NANO).eval(), settings)
    known = ChatTokenizer(AutoTokenizer.from_pretrained(NANO))
    cache = runner._cache.whole
    return bench_of(runner, known, settings, cache[:, 0, 0].nbytes, TRIAL)


def bench_of(
    runner: Any, known: ChatTokenizer, settings: EngineSettings, token_bytes: int, work: Work
) -> Bench:
    engine = engine_of(runner, settings, settings.kv_tokens, known=known)
    return Bench(engine, runner, settings, token_bytes, work)


def text(bench: Bench, seed: int, length: int) -> tuple[int, ...]:
    words = random.Random(seed)
    return tuple(words.randrange(10, bench.work.words) for _ in range(length))


async def answer(bench: Bench, prompt: tuple[int, ...], most: int = ANSWER) -> Seen:
    sampling = Sampling(max_tokens=most, temperature=0.0, ignore_eos=True)
    handling = Handling(tells_tokens=True)
    request = CompletionRequest("r", "glm", prompt, sampling, handling=handling)
    times, begun = [], time.perf_counter()
    async with aclosing(bench.engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, Delta):
                times.append(time.perf_counter() - begun)
            if isinstance(event, Finish):
                cached, said = event.usage.cached_tokens, event.spelt
    gaps = tuple(1e3 * (end - start) for start, end in pairwise(times))
    return Seen(times[0], gaps, cached, said.tokens if said else ())


async def document(bench: Bench, length: int, seed: int, other: int) -> dict[str, Any]:
    """Ask three times the same; before the third another document takes its place."""
    asked = text(bench, seed, length)
    computed = await answer(bench, asked)
    here = await answer(bench, asked)
    await answer(bench, text(bench, other, bench.work.documents[1]))
    before = bench.engine.stats().host_hit_tokens
    back = await answer(bench, asked)
    brought = bench.engine.stats().host_hit_tokens - before
    return {
        "document_tokens": length,
        "computed_s": round(computed.first_s, 3),
        "on_device_s": round(here.first_s, 3),
        "from_host_s": round(back.first_s, 3),
        "from_host_tokens": brought,
        "from_host_gb_s": round(brought * bench.token_bytes / back.first_s / 1e9, 2),
        "cached_tokens": [computed.cached, here.cached, back.cached],
        "same_answer": here.tokens == back.tokens,
    }


async def beside(bench: Bench, work: Callable[[], Any]) -> tuple[list[float], int]:
    """Gaps between the tokens of streams while something goes on again and again; how often."""
    its = bench.work
    prompts = [text(bench, 9_000 + each, CHAT) for each in range(its.streams)]
    streams = [asyncio.create_task(answer(bench, one, its.stream_tokens)) for one in prompts]
    done = 0
    while not all(stream.done() for stream in streams):
        await work()
        done += 1
    seen = await asyncio.gather(*streams)
    return sorted(gap for one in seen for gap in one.gaps_ms), done


async def decodes(bench: Bench) -> dict[str, Any]:
    """Streams alone, then while two documents that cannot both stay come back in turns."""
    longest = bench.work.documents[1]
    pair = [text(bench, seed, longest) for seed in (2, 3)]
    turn = 0

    async def take_turns() -> None:
        nonlocal turn
        turn += 1
        await answer(bench, pair[turn % 2], 1)

    async def nothing() -> None:
        await asyncio.sleep(0.01)

    alone, _ = await beside(bench, nothing)
    before = bench.engine.stats().host_hit_tokens
    busy, times = await beside(bench, take_turns)
    brought = bench.engine.stats().host_hit_tokens - before
    told = {"streams": bench.work.streams, "brought_back": times, "brought_tokens": brought}
    for name, gaps in (("alone", alone), ("beside", busy)):
        for part in (0.5, 0.99):
            place = min(len(gaps) - 1, int(part * len(gaps)))
            told[f"token_{name}_p{100 * part:.0f}_ms"] = round(gaps[place], 2)
    return told


def link(bench: Bench) -> dict[str, float]:
    """Bytes a second of one large copy each way, and of pages as the engine moves them."""
    size, on_gpu = bench.work.link_bytes, torch.cuda.is_available()
    far = torch.empty(size, dtype=torch.uint8, device="cuda" if on_gpu else "cpu")
    near = torch.empty(size, dtype=torch.uint8, pin_memory=on_gpu)
    most = Limits.of(bench.settings).recalled
    turns = max(1, size // (most * bench.settings.page_tokens * bench.token_bytes))
    pairs = [(each, each) for each in range(most)]
    moved = turns * most * bench.settings.page_tokens * bench.token_bytes

    def pages(moves: Moves) -> Callable[[], None]:
        def work() -> None:
            for _ in range(turns):
                bench.runner._offload.move(moves)
            bench.runner._offload.move(NOTHING)

        return work

    return {
        "to_host_gb_s": _gb_s(size, lambda: near.copy_(far, non_blocking=True)),
        "to_device_gb_s": _gb_s(size, lambda: far.copy_(near, non_blocking=True)),
        "pages_to_host_gb_s": _gb_s(moved, pages(Moves(stores=pairs))),
        "pages_to_device_gb_s": _gb_s(moved, pages(Moves(loads=pairs))),
    }


@torch.inference_mode()
def _gb_s(size: int, work: Callable[[], Any]) -> float:
    work()
    _wait()
    begun = time.perf_counter()
    work()
    _wait()
    return round(size / (time.perf_counter() - begun) / 1e9, 2)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


async def run(bench: Bench, figures: Figures) -> None:
    bench.engine.start()
    await asyncio.gather(*(answer(bench, text(bench, 100 + each, CHAT), 24) for each in range(4)))
    for at, length in enumerate(bench.work.documents):
        figures.tell(**await document(bench, length, 1 + at, 3))
    figures.tell(**await decodes(bench))
    await bench.engine.stop()
    figures.tell(**link(bench))


def main() -> None:
    dtype, *_ = [*given(), "auto"]
    begun = time.perf_counter()
    with Figures() as figures:
        bench = on_cpu() if dtype == "cpu" else on_card(dtype)
        figures.tell(kv_dtype=dtype, ready_s=round(time.perf_counter() - begun, 1))
        asyncio.run(run(bench, figures))
        figures.tell(seconds=round(time.perf_counter() - begun, 1))


if __name__ == "__main__":
    main()
