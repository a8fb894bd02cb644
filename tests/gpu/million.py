"""The 1M shape of GLM-4-9B: what its cache takes, a token behind a million, a long prompt whole.

usage: python -m tests.gpu.million [auto|fp8 [tokens]]     one card of 140 GB, 80 s for 262144
"""

import asyncio
import time
from typing import Any

import torch

from serve_app.engine.gpu.runner import GpuRunner
from tests.gpu import shape
from tests.gpu.arguments import given, numbers
from tests.gpu.decode_step import copy_speed, milliseconds, products, step
from tests.gpu.engine import engine_of
from tests.gpu.figures import Figures
from tests.gpu.stream import read

CONTEXT = 1_048_576
SPARE = 8_192
PASTS = (131_008, 524_224, 1_048_512)


def model() -> Any:
    """Four key heads and places for a million tokens; otherwise as its smaller sibling."""
    config = shape.config()
    config.num_key_value_heads, config.max_position_embeddings = 4, CONTEXT
    return shape.build(config)


@torch.inference_mode()
def steps(runner: GpuRunner, bytes_s: float) -> list[dict[str, float]]:
    """A token behind so many, against its floor."""
    floor = milliseconds(products(runner, 1))
    lines = []
    for past in PASTS:
        took = milliseconds(step(runner, 1, past), 10)
        least = floor + 1e3 * past * runner._cache.token_bytes / bytes_s
        told = {"past": past, "step_ms": round(took, 2), "floor_ms": round(least, 2)}
        lines.append({**told, "ratio": round(took / least, 2)})
    return lines


async def whole(runner: GpuRunner, settings: Any, length: int) -> dict[str, Any]:
    engine = engine_of(runner, settings, CONTEXT)
    engine.start()
    seen = await read(engine, shape.prompt(1, length), 16)
    await engine.stop()
    return {"prompt": length, "first_s": round(seen.first, 1), "each_ms": round(1e3 * seen.each, 2)}


def measure(dtype: str, length: int, figures: Figures) -> None:
    begun = time.perf_counter()
    settings = shape.settings(kv_dtype=dtype, kv_tokens=CONTEXT + SPARE, max_running=8)
    bytes_s = copy_speed()
    torch.cuda.empty_cache()
    built = model()
    weights = torch.cuda.memory_allocated()
    runner = GpuRunner(built, settings)
    figures.tell(
        kv_dtype=dtype,
        weights_gib=round(weights / 2**30, 2),
        all_gib=round(torch.cuda.memory_allocated() / 2**30, 2),
        token_bytes=runner._cache.token_bytes,
        ready_s=round(time.perf_counter() - begun, 1),
    )
    for line in steps(runner, bytes_s):
        figures.tell(**line)
    figures.tell(**asyncio.run(whole(runner, settings, length)))
    figures.tell(peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 2))


def main() -> None:
    dtype, *_ = [*given(), "auto"]
    (length,) = numbers(1, (262_144,))
    with Figures() as figures:
        measure(dtype, length, figures)


if __name__ == "__main__":
    main()
