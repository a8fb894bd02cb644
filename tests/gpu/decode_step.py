"""One step of single tokens against its floor: the products alone, and reading keys and values.

usage: python -m tests.gpu.decode_step [rows,...] [--profile]
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear
from torch.profiler import ProfilerActivity, profile

from serve_app.engine.gpu.runner import GpuRunner
from tests.gpu import shape
from tests.gpu.arguments import numbers
from tests.gpu.figures import Figures

PAST = 640  # tokens a row looks back at
ROWS = (1, 8, 32, 64, 128, 256)
SHOWN = 14


def milliseconds(work: Callable[[], Any], times: int = 30) -> float:
    for _ in range(3):
        work()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(times):
        work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / times


def recorded(work: Callable[[], Any]) -> Callable[[], None]:
    """The same as one launch."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def copy_speed() -> float:
    """Bytes a second, read and written, that a large copy moves."""
    source = torch.randn(10**9, device="cuda", dtype=torch.bfloat16)
    target = torch.empty_like(source)
    moved = 2 * source.numel() * source.element_size()
    return 1e3 * moved / milliseconds(lambda: target.copy_(source), 5)


def products(runner: GpuRunner, rows: int) -> Callable[[], None]:
    """Every product of a step by cuBLAS, recorded, and nothing else."""
    weights = runner._stack._weights
    narrow = torch.randn(rows, weights.layers[0].qkv.shape[1], device="cuda", dtype=torch.bfloat16)
    wide = torch.randn(rows, weights.layers[0].down.shape[1], device="cuda", dtype=torch.bfloat16)

    def work() -> None:
        for layer in weights.layers:
            linear(narrow, layer.qkv)
            linear(narrow, layer.out)
            linear(narrow, layer.gate_up)
            linear(wide, layer.down)
        linear(narrow, weights.head)

    return recorded(work)


def step(runner: GpuRunner, rows: int, past: int = PAST) -> Callable[[], Any]:
    """The smallest recorded step with room for rows that have pages of their own."""
    held = -(-(past + 1) // shape.settings().page_tokens)
    pages = torch.arange(rows * held, dtype=torch.int32, device="cuda")
    runner._table[:rows, :held] = pages.view(rows, held)
    words = np.random.default_rng(0).integers(10, 150000, rows)
    lines = np.stack([words, np.full(rows, past - 1), np.arange(rows)]).astype(np.int32)
    assert runner._graphs is not None
    runner._graphs.run(lines)
    replays = runner._graphs._replays
    return replays[min(size for size in replays if size >= rows)]


def measure(runner: GpuRunner, rows: int, bytes_s: float) -> dict[str, float]:
    token_bytes = runner._cache.token_bytes
    took = milliseconds(step(runner, rows))
    floor = milliseconds(products(runner, rows))
    read = 1e3 * rows * PAST * token_bytes / bytes_s
    return {
        "rows": rows,
        "step_ms": round(took, 3),
        "products_ms": round(floor, 3),
        "keys_values_ms": round(read, 3),
        "ratio": round(took / (floor + read), 3),
    }


def tell_kernels(work: Callable[[], Any]) -> None:
    """Where each microsecond of a step goes."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    kernels = sorted(seen.key_averages(), key=lambda each: -each.device_time_total)
    for each in kernels[:SHOWN]:
        print(f"{each.device_time_total:10.1f} us {each.count:5d} times  {each.key[:80]}")


@torch.inference_mode()
def main() -> None:
    runner = GpuRunner(shape.model(), shape.settings())
    bytes_s = copy_speed()
    with Figures() as figures:
        figures.tell(copy_tb_s=round(bytes_s / 1e12, 2))
        for rows in numbers(0, ROWS):
            figures.tell(**measure(runner, rows, bytes_s))
            if "--profile" in sys.argv:
                tell_kernels(step(runner, rows))


if __name__ == "__main__":
    main()
