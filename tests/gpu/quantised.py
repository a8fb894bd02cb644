"""Weights in 4 and 8 bits against bfloat16: memory, speed, and what recordings would give.

usage: python -m tests.gpu.quantised [streams,...]     one card with bitsandbytes, about 2 minutes
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from serve_app.engine.flight import Runner
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.model import ModelRunner
from serve_app.models.precision import Quantization
from serve_app.models.quantised import LINEARS, PACK
from tests.gpu import shape
from tests.gpu.decode_step import milliseconds
from tests.gpu.drive import Drive

STREAMS = (1, 8, 32)
PROMPT, ANSWER = 128, 32


def exchange(model: Any, quantization: Quantization) -> None:
    """Quantise the products inside the layers in place, as loading does."""
    for layer in model.model.layers:
        for room in (layer.self_attn, layer.mlp):
            for name, plain in list(room.named_children()):
                if isinstance(plain, nn.Linear):
                    room.set_submodule(name, _packed(plain, quantization))


def _packed(plain: nn.Linear, quantization: Quantization) -> Any:
    linear = LINEARS[quantization](plain, plain.weight.dtype)
    linear.weight = PACK[quantization](linear, plain.weight.data, plain.weight.device)
    if plain.bias is not None:
        linear.bias = nn.Parameter(plain.bias.data, requires_grad=False)
    return linear


def products(model: Any, rows: int) -> Callable[[], None]:
    """Every product inside the layers once, for so many tokens."""
    device = model.device
    work = [
        (linear, torch.randn(rows, linear.in_features, device=device, dtype=model.dtype))
        for linear in _linears(model)
    ]

    @torch.inference_mode()
    def once() -> None:
        for linear, x in work:
            linear(x)

    return once


def _linears(model: Any) -> Iterator[Any]:
    for layer in model.model.layers:
        for room in (layer.self_attn, layer.mlp):
            yield from (each for each in room.children() if isinstance(each, nn.Linear))


def recorded(work: Callable[[], None]) -> Callable[[], None]:
    """The same as one launch; raises RuntimeError where no recording can hold it."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def speed(runner: Runner, streams: int) -> float:
    drive = Drive(runner, shape.settings(max_running=max(STREAMS)), ahead=False)  # type: ignore[arg-type]
    drive.finish(shape.sequences(streams, 16, 2, seed=99))
    begun = time.perf_counter()
    drive.finish(shape.sequences(streams, PROMPT, ANSWER, seed=streams))
    return round(streams * ANSWER / (time.perf_counter() - begun), 1)


def measure(quantization: Quantization, streams: list[int]) -> Iterator[dict[str, Any]]:
    model = shape.model()
    if quantization != "none":
        exchange(model, quantization)
    gc.collect()
    torch.cuda.empty_cache()
    weights = round(torch.cuda.memory_allocated() / 2**30, 2)
    for rows in streams:
        work = products(model, rows)
        line: dict[str, Any] = {"quantization": quantization, "weights_gib": weights, "rows": rows}
        line["products_ms"] = round(milliseconds(work, 10), 2)
        try:
            line["recorded_ms"] = round(milliseconds(recorded(work), 10), 2)
        except RuntimeError as error:
            line["recorded_ms"] = f"none: {str(error).splitlines()[0][:80]}"
        yield line
    settings = shape.settings(max_running=max(STREAMS), kv_tokens=65_536)
    kinds: list[type[Any]] = [ModelRunner] if quantization != "none" else [GpuRunner, ModelRunner]
    for kind in kinds:
        runner = kind(model, settings)
        rates = {f"tokens_s_{each}": speed(runner, each) for each in streams}
        yield {"quantization": quantization, "runner": kind.__name__, **rates}


def main() -> None:
    streams = [int(each) for each in sys.argv[1].split(",")] if len(sys.argv) > 1 else [*STREAMS]
    wanted: tuple[Quantization, ...] = ("none", "int8", "nf4")
    for quantization in wanted:
        for line in measure(quantization, streams):
            print(json.dumps(line), flush=True)
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
