"""Weights in 8 and 4 bits against bfloat16: memory, a recorded step, whole runs, and how exact.

usage: python -m tests.gpu.quantised [--modules]      one card with bitsandbytes, about 2 minutes

--modules: bitsandbytes' own products and transformers' modules too, a minute more.
"""

import copy
import gc
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from serve_app.engine.flight import Runner
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.model import ModelRunner
from serve_app.models.precision import Quantization
from tests.gpu import shape
from tests.gpu.decode_step import milliseconds, recorded, step
from tests.gpu.drive import Drive
from tests.gpu.figures import Figures
from tests.gpu.logits import error, logits_after
from tests.gpu.packing import linears, pack

KINDS: tuple[Quantization, ...] = ("none", "int8", "nf4")
ROWS = (1, 8, 16, 32, 64, 128)
STREAMS = (1, 8, 32, 128)
MODULES = (1, 8, 32)
PROMPT, ANSWER = 512, 128
ENDS = (200, 298, 299, 300)  # of chunks, and of single tokens


def exchange(model: Any, quantization: Quantization) -> Any:
    """Quantise the products inside the layers in place, as loading does."""
    if quantization != "none":
        pack(model, quantization)
    gc.collect()
    torch.cuda.empty_cache()
    return model


def speed(runner: Runner, streams: int, answer: int = ANSWER) -> float:
    """Tokens a second over all streams, prompts included."""
    drive = Drive(runner, shape.settings(), ahead=isinstance(runner, GpuRunner))  # type: ignore[arg-type]
    drive.finish(shape.sequences(streams, 16, 2, seed=99))
    begun = time.perf_counter()
    drive.finish(shape.sequences(streams, PROMPT, answer, seed=streams))
    return round(streams * answer / (time.perf_counter() - begun), 1)


def kernels(quantization: Quantization) -> Iterator[dict[str, Any]]:
    """What is served: own kernels and recordings."""
    model = exchange(shape.model(), quantization)
    known = {"quantization": quantization, "runner": "GpuRunner"}
    weights = torch.cuda.memory_allocated()
    runner = GpuRunner(model, shape.settings())
    gc.collect()
    yield known | {"weights_gib": round(weights / 2**30, 2)}
    with torch.inference_mode():
        for rows in ROWS:
            yield known | {"rows": rows, "step_ms": round(milliseconds(step(runner, rows)), 3)}
    for streams in STREAMS:
        yield known | {"streams": streams, "tokens_s": speed(runner, streams)}


def modules(quantization: Quantization) -> Iterator[dict[str, Any]]:
    """Transformers' modules, and the products alone."""
    model = exchange(shape.model(), quantization)
    known = {"quantization": quantization, "runner": "ModelRunner"}
    for rows in MODULES:
        work = products(model, rows)
        took = round(milliseconds(recorded(work), 10), 2)
        yield known | {"rows": rows, "products_ms": took}
    runner = ModelRunner(model, shape.settings())
    for streams in MODULES:
        yield known | {"streams": streams, "tokens_s": speed(runner, streams, 16)}


def products(model: Any, rows: int) -> Callable[[], None]:
    """Every product inside the layers once, for so many tokens, as the modules compute it."""
    modules = [module for _, module in linears(model)]
    widths = {module.in_features for module in modules}
    x = {each: torch.randn(rows, each, device=model.device, dtype=model.dtype) for each in widths}

    @torch.inference_mode()
    def once() -> None:
        for module in modules:
            module(x[module.in_features])

    return once


@torch.inference_mode()
def exact(quantization: Quantization, layers: int = 3) -> dict[str, Any]:
    """Logits against transformers' modules, with the same packed weights and in bfloat16."""
    plain = shape.model(layers)
    words = shape.prompt(1, 300)
    tokens = torch.tensor([words], device="cuda")
    exact_logits = copy.deepcopy(plain).float()(tokens).logits[0].cpu()
    packed = exchange(plain, quantization)
    theirs = copy.deepcopy(packed)(tokens).logits[0]
    runner = GpuRunner(packed, shape.settings(kv_tokens=64 * 256, max_running=32))
    places = [end - 1 for end in ENDS]
    found = logits_after(runner, words, ENDS).cpu()
    usual, wanted = theirs[places].cpu(), exact_logits[places]
    return {
        "quantization": quantization,
        "from_modules": error(found, usual.float()),
        "from_float32": error(found, wanted),
        "modules_from_float32": error(usual, wanted),
    }


def main() -> None:
    with Figures() as figures:
        for quantization in KINDS:
            figures.tell(**exact(quantization))
        for measure in (kernels, modules) if "--modules" in sys.argv else (kernels,):
            for quantization in KINDS:
                for line in measure(quantization):
                    figures.tell(**line)
                gc.collect()
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
