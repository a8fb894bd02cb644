"""Thousands of requests of every kind: the card's memory stays as it is, no kernel is made anew.

usage: python -m tests.gpu.steady [requests]
"""

import asyncio
import random
from itertools import pairwise
from typing import Any

import torch
import triton

from serve_app.engine.engine import Engine
from tests.gpu import shape
from tests.gpu.arguments import numbers
from tests.gpu.figures import Figures
from tests.gpu.stream import read
from tests.gpu.whole_engine import build

AT_ONCE = 96
PARTS = 5  # after each the figures are told
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"temperature": 0.8, "seed": 1},
    {"temperature": 1.0, "top_p": 0.9, "top_k": 40, "seed": 2},
    {"logprobs": 2},
    {"presence_penalty": 0.5},
    {"n": 2, "temperature": 1.0, "seed": 3},
)


class Compiled:
    """Counts kernels that Triton makes."""

    def __init__(self) -> None:
        self.count = 0
        triton.knobs.runtime.jit_post_compile_hook = self._note

    def _note(self, *_: Any, **__: Any) -> None:
        self.count += 1


async def some(engine: Engine, count: int, chance: random.Random) -> None:
    left = iter(range(count))

    async def reader() -> None:
        for number in left:
            prompt = [chance.randrange(10, 150_000) for _ in range(chance.randrange(1, 200))]
            await read(engine, prompt, chance.randrange(1, 12), **KINDS[number % len(KINDS)])

    await asyncio.gather(*(reader() for _ in range(AT_ONCE)))


async def run(count: int, figures: Figures) -> None:
    compiled = Compiled()
    settings = shape.settings(kv_tokens=65_536, max_running=64, speculation="on")
    engine, _ = build(shape.model(layers=2), settings)
    engine.start()
    chance = random.Random(0)
    for begin, end in pairwise(part * count // PARTS for part in range(PARTS + 1)):
        await some(engine, end - begin, chance)
        figures.tell(
            requests=end,
            allocated_mib=torch.cuda.memory_allocated() >> 20,
            reserved_mib=torch.cuda.memory_reserved() >> 20,
            kernels_made=compiled.count,
            free_pages=engine.stats().free_pages,
        )
    await engine.stop()


def main() -> None:
    (count,) = numbers(0, (10_000,))
    with Figures() as figures:
        asyncio.run(run(count, figures))


if __name__ == "__main__":
    main()
