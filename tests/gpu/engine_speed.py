"""Tokens a second of the engine at several numbers of streams: 512 tokens in, 256 out, greedy.

usage: python -m tests.gpu.engine_speed [streams,...]
"""

import time
from collections.abc import Sequence as Many
from typing import Any

import torch

from serve_app.engine.gpu.runner import GpuRunner
from tests.gpu import shape
from tests.gpu.arguments import numbers
from tests.gpu.drive import Drive
from tests.gpu.figures import Figures

PROMPT, ANSWER = 512, 256
STREAMS = (1, 8, 32, 64, 128, 256)
VLLM = {1: 133, 8: 913, 32: 3969, 128: 8475, 256: 9810}  # 0.22.1, offline, recorded on an H200


def share(values: Many[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def level(drive: Drive, streams: int) -> dict[str, Any]:
    wanted = shape.sequences(streams, PROMPT, ANSWER, seed=streams)
    begun = time.perf_counter()
    times = drive.finish(wanted)
    seconds = time.perf_counter() - begun
    first = [1e3 * one.first for one in times.values()]
    each = [1e3 * one.each for one in times.values()]
    gaps = drive.gaps_us()[-ANSWER // 2 :]
    rate = streams * ANSWER / seconds
    return {
        "streams": streams,
        "tokens_s": round(rate, 1),
        "first_p50_ms": round(share(first, 0.5), 1),
        "first_p99_ms": round(share(first, 0.99), 1),
        "each_p50_ms": round(share(each, 0.5), 3),
        "each_p99_ms": round(share(each, 0.99), 3),
        "gap_p50_us": round(share(gaps, 0.5), 1),
        "gap_p99_us": round(share(gaps, 0.99), 1),
        "recorded_vllm": round(rate / VLLM[streams], 3) if streams in VLLM else None,
    }


def main() -> None:
    with Figures() as figures:
        begun = time.perf_counter()
        model = shape.model()
        torch.cuda.synchronize()
        figures.tell(model_s=round(time.perf_counter() - begun, 1))
        begun = time.perf_counter()
        settings = shape.settings()
        drive = Drive(GpuRunner(model, settings), settings)
        figures.tell(runner_s=round(time.perf_counter() - begun, 1))
        drive.finish(shape.sequences(8, PROMPT, 8, seed=99))
        for streams in numbers(0, STREAMS):
            figures.tell(**level(drive, streams))


if __name__ == "__main__":
    main()
