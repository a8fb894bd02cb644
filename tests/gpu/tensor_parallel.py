"""One card against several: sums over the ranks, glm-nano's tokens, tokens a second, steps.

usage: python -m tests.gpu.tensor_parallel [cards [layers [streams,...]]]
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from serve_app.loading import load_engine
from serve_app.settings import EngineSettings, ModelSettings, ReplicaSettings, Settings
from tests.gpu import eight_heads, shape
from tests.gpu.all_reduce import measure
from tests.gpu.arguments import numbers
from tests.gpu.drive import Drive
from tests.gpu.engine import engine_of
from tests.gpu.engine_speed import PROMPT
from tests.gpu.engine_speed import level as bare_level
from tests.gpu.figures import Figures, table, tell
from tests.gpu.marked import Marked
from tests.gpu.shares import Prepared, prepared
from tests.gpu.stream import read
from tests.gpu.whole_engine import level as whole_level
from tests.ranks.said import said

STREAMS = (1, 32, 128, 256)


def same_tokens(cards: int) -> dict[str, Any]:
    """What glm-nano, with eight heads, says on one card and on several, in bfloat16."""
    with tempfile.TemporaryDirectory() as shelf:
        eight_heads.shelve(Path(shelf))
        alone, together = (asyncio.run(_answers(each, Path(shelf))) for each in (1, cards))
    pairs = [
        pair for one, other in zip(alone, together, strict=True) for pair in zip_longest(one, other)
    ]
    right = sum(one == other for one, other in pairs)
    return {"cards": cards, "tokens": len(pairs), "same": right}


async def _answers(cards: int, shelf: Path) -> list[list[int]]:
    settings = Settings(
        model=ModelSettings(name=eight_heads.NAME, folder=shelf, device="cuda"),
        engine=EngineSettings(tensor_parallel=cards, step_tokens=64, speculation="by_request"),
        replicas=ReplicaSettings(model_gpus=cards),
    )
    engine = await asyncio.to_thread(load_engine, settings)
    engine.start()  # type: ignore[attr-defined]
    try:
        return await said(engine)
    finally:
        await engine.stop()


def speeds(layers: int, cards: int, streams: list[int]) -> list[dict[str, Any]]:
    """The bare runner, then the whole engine, at each number of streams."""
    begun = time.perf_counter()
    with prepared(layers, cards) as ready:
        tell(cards=cards, ready_s=round(time.perf_counter() - begun, 1))
        drive = Drive(ready.runner, ready.settings)  # type: ignore[arg-type]
        drive.finish(shape.sequences(8, PROMPT, 8, seed=99))
        bare = [tell(cards=cards, what="runner", **bare_level(drive, each)) for each in streams]
        return bare + asyncio.run(_whole(ready, cards, streams))


async def _whole(ready: Prepared, cards: int, streams: list[int]) -> list[dict[str, Any]]:
    marked = Marked(ready.runner)
    engine = engine_of(marked, ready.settings, ready.context_tokens, crew=ready.crew)
    engine.start()
    await asyncio.gather(*(read(engine, shape.prompt(each, PROMPT), 8) for each in range(8)))
    lines = [
        tell(cards=cards, what="engine", **await whole_level(engine, marked, each))
        for each in streams
    ]
    await engine.stop()
    return lines


def against_one(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tokens a second and milliseconds a token, and how many times as fast several cards are."""
    found = {(line["what"], line["streams"], line["cards"]): line for line in lines}
    for (what, streams, cards), line in sorted(found.items()):
        yield {
            "what": what,
            "streams": streams,
            "cards": cards,
            "tokens_s": line["tokens_s"],
            "against_one": round(line["tokens_s"] / found[what, streams, 1]["tokens_s"], 2),
            "each_p50_ms": line["each_p50_ms"],
            "each_p99_ms": line["each_p99_ms"],
        }


def main() -> None:
    (cards,), (layers,), streams = numbers(0, (2,)), numbers(1, (40,)), numbers(2, STREAMS)
    with Figures() as figures:
        for line in measure(cards):
            figures.tell(**line)
        # Each in a process of its own: one shares its GPU's memory with other ranks once.
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as apart:
            figures.tell(**apart.submit(same_tokens, cards).result())
            parts = [apart.submit(speeds, layers, each, streams).result() for each in (1, cards)]
    table(against_one([line for part in parts for line in part]))


if __name__ == "__main__":
    main()
