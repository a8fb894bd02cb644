"""Tokens a second of the whole engine: admission, loop, text, asynchronous readers.

512 tokens in, 256 out, greedy; all streams come at once. Beside them how long the card had nothing
to do between two steps.

usage: python -m tests.gpu.whole_engine [streams,...]
"""

import asyncio
import time
from typing import Any

from serve_app.engine.engine import Engine
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.settings import EngineSettings
from tests.gpu import shape
from tests.gpu.arguments import numbers
from tests.gpu.engine import engine_of
from tests.gpu.engine_speed import ANSWER, PROMPT, STREAMS, VLLM, share
from tests.gpu.figures import Figures
from tests.gpu.marked import Marked
from tests.gpu.stream import read


def build(model: Any, settings: EngineSettings) -> tuple[Engine, Marked]:
    marked = Marked(GpuRunner(model, settings))
    return engine_of(marked, settings, model.config.max_position_embeddings), marked


async def level(engine: Engine, marked: Marked, streams: int) -> dict[str, Any]:
    prompts = [shape.prompt(7000 * streams + each, PROMPT) for each in range(streams)]
    marked.marks.clear()
    begun = time.perf_counter()
    seen = await asyncio.gather(*(read(engine, prompt, ANSWER) for prompt in prompts))
    seconds = time.perf_counter() - begun
    gaps = marked.gaps_ms()
    rate = sum(each.tokens for each in seen) / seconds
    return {
        "streams": streams,
        "tokens_s": round(rate, 1),
        "first_p50_ms": round(1e3 * share([each.first for each in seen], 0.5), 1),
        "first_p99_ms": round(1e3 * share([each.first for each in seen], 0.99), 1),
        "each_p50_ms": round(1e3 * share([each.each for each in seen], 0.5), 3),
        "each_p99_ms": round(1e3 * share([each.each for each in seen], 0.99), 3),
        "gap_p50_us": round(1e3 * share(gaps, 0.5), 1),
        "gap_p99_us": round(1e3 * share(gaps, 0.99), 1),
        "busy": round(1 - sum(gaps) / marked.whole_ms, 4),
        "recorded_vllm": round(rate / VLLM[streams], 3) if streams in VLLM else None,
    }


async def run(wanted: list[int], figures: Figures) -> None:
    settings = shape.settings()
    engine, marked = build(shape.model(), settings)
    engine.start()
    await asyncio.gather(*(read(engine, shape.prompt(each, PROMPT), 8) for each in range(8)))
    for streams in wanted:
        figures.tell(**await level(engine, marked, streams))
    await engine.stop()


def main() -> None:
    with Figures() as figures:
        asyncio.run(run(numbers(0, STREAMS), figures))


if __name__ == "__main__":
    main()
