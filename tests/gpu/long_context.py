"""Prompts of 128K tokens whole, and what chats notice of them.

Of the chats that waited longest, the steps between their coming and their first token are told.

usage: python -m tests.gpu.long_context [auto|fp8]
"""

import asyncio
import time
from dataclasses import asdict, dataclass

from serve_app.engine.batch import Batch
from serve_app.engine.engine import Engine
from serve_app.engine.flight import Flight
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.sequence import Lane
from serve_app.settings import EngineSettings
from tests.gpu import shape
from tests.gpu.arguments import given
from tests.gpu.engine import engine_of
from tests.gpu.engine_speed import share
from tests.gpu.figures import Figures
from tests.gpu.marked import Marked
from tests.gpu.stream import Stream, read

CONTEXT = 131_072
DOCUMENT, CHAT, ANSWER = 131_000, 512, 16
PAUSE_S = 0.23  # between two chats
WORST = 3  # chats whose steps are told


@dataclass(frozen=True)
class Noted:
    """One step as it was begun."""

    begun: float  # on the machine's own clock, in seconds
    decodes: int
    chat_tokens: int
    document_tokens: int
    seen: int  # tokens that the longest chunk's last one sees


class Noting(Marked):
    """Marks steps, and notes what is in them."""

    def __init__(self, runner: GpuRunner) -> None:
        super().__init__(runner)
        self.noted: list[Noted] = []

    def begin(self, batch: Batch) -> Flight:
        lanes = dict.fromkeys(Lane, 0)
        for row in batch.chunks:
            lanes[row.sequence.lane] += row.count
        seen = max((row.start + row.count for row in batch.chunks), default=0)
        counts = len(batch.decodes), lanes[Lane.SHORT], lanes[Lane.LONG], seen
        self.noted.append(Noted(time.perf_counter(), *counts))
        return super().begin(batch)

    def between(self, stream: Stream) -> list[dict[str, float]]:
        """The steps for which a reader waited: times in milliseconds, from its coming on."""
        came, first = stream.asked, stream.asked + stream.first
        steps = zip(self.noted, self.steps_ms(), [0.0, *self.gaps_ms()], strict=True)
        return [
            asdict(noted)
            | {"begun": round(1e3 * (noted.begun - came), 1)}
            | {"ms": round(lasts, 1), "gap_ms": round(gap, 1)}
            for noted, lasts, gap in steps
            if noted.begun < first and noted.begun + 1e-3 * lasts > came
        ]

    def forget(self) -> None:
        self.marks.clear()
        self.noted.clear()


async def chats(engine: Engine, count: int, seed: int) -> list[Stream]:
    return [
        await read(engine, shape.prompt(seed + number, CHAT), ANSWER) for number in range(count)
    ]


async def beside(engine: Engine, document: asyncio.Task[Stream], seed: int) -> list[Stream]:
    """Chats that come one after the other, whether the last is done or not, while one reads."""
    under_way: list[asyncio.Task[Stream]] = []
    while not document.done():
        prompt = shape.prompt(seed + len(under_way), CHAT)
        under_way.append(asyncio.create_task(read(engine, prompt, ANSWER)))
        await asyncio.sleep(PAUSE_S)
    return list(await asyncio.gather(*under_way))


def noting(settings: EngineSettings) -> Noting:
    return Noting(GpuRunner(shape.model(), settings))


async def run(dtype: str, figures: Figures) -> None:
    settings = shape.settings(kv_dtype=dtype, kv_tokens=3 * CONTEXT, max_running=64)
    marked = noting(settings)
    engine = engine_of(marked, settings, CONTEXT)
    engine.start()
    await chats(engine, 4, 10**6)
    alone = [1e3 * each.first for each in await chats(engine, 24, 2 * 10**6)]
    words = shape.prompt(1, DOCUMENT)
    whole = await read(engine, words, 4)
    begun = time.perf_counter()
    again = await read(engine, [*words[:-40], *shape.prompt(2, 40)], 4)
    marked.forget()
    document = asyncio.create_task(read(engine, shape.prompt(3, DOCUMENT), 4))
    crowd = await beside(engine, document, 3 * 10**6)
    firsts = [1e3 * each.first for each in crowd]
    longest = max(marked.steps_ms())
    told = {
        "kv_dtype": dtype,
        "document_s": round(whole.first, 2),
        "document_again_s": round(again.first, 3),
        "document_beside_chats_s": round((await document).first, 2),
        "chats": len(crowd),
        "chat_alone_p50_ms": round(share(alone, 0.5), 1),
        "chat_alone_p99_ms": round(share(alone, 0.99), 1),
        "chat_beside_p50_ms": round(share(firsts, 0.5), 1),
        "chat_beside_p99_ms": round(share(firsts, 0.99), 1),
        "longest_step_ms": round(longest, 1),
        "step_p90_ms": round(share(marked.steps_ms(), 0.9), 1),
        "bound_ms": round(2 * share(alone, 0.99) + longest, 1),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    figures.tell(**told)
    for chat in sorted(crowd, key=lambda each: each.first)[-WORST:]:
        waited_ms = round(1e3 * chat.first, 1)
        for step in marked.between(chat):
            figures.tell(waited_ms=waited_ms, **step)
    await engine.stop()


def main() -> None:
    dtype, *_ = [*given(), "auto"]
    with Figures() as figures:
        asyncio.run(run(dtype, figures))


if __name__ == "__main__":
    main()
