"""Keys and values in 8 bits against the model's own dtype: what it costs in quality, what it gains.

usage: python -m tests.gpu.kv_dtype
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from serve_app.engine.choice import Choice
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.limits import Limits
from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Sequence
from serve_app.models.nano import dialogues
from serve_app.models.nano.dialogues import Dialogue
from serve_app.models.nano.encoding import Encoder
from serve_app.models.nano.tasks import TASKS
from serve_app.models.nano.voice import PERSONAS
from tests.gpu import shape
from tests.gpu.correctness import NANO, nano_agrees
from tests.gpu.decode_step import copy_speed, milliseconds, products, step
from tests.gpu.figures import Figures

DTYPES = ("auto", "fp8")
SHAPES = ((1, 640), (32, 640), (256, 640), (32, 8192), (1, 131008), (8, 131008))


def quality(dtype: str) -> dict[str, Any]:
    """Perplexity of held-out dialogues, and how many greedy tokens are those of float32."""
    model = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.bfloat16).eval().to("cuda")
    settings = shape.settings(
        kv_tokens=65536, page_tokens=16, max_running=64, step_tokens=512, kv_dtype=dtype
    )
    runner, books = GpuRunner(model, settings), Scheduler(Limits.of(settings))
    logprobs = []
    for ids, said in held_out():
        books.add(Sequence(ids, 1, Choice(prompt_logprobs=0)))
        found: list[float] = []
        while books.running or books.waiting:
            batch = books.schedule()
            draws = runner.begin(batch).draws()
            books.apply(batch, draws)
            found += [each.logprob for its in draws.prompt_chances.values() for each in its]
        logprobs += [each for each, counts in zip(found, said[1:], strict=True) if counts]
    perplexity = math.exp(-sum(logprobs) / len(logprobs))
    greedy = nano_agrees(kv_dtype=dtype)
    told = {"kv_dtype": dtype, "perplexity": round(perplexity, 5), "counted": len(logprobs)}
    return {**told, **greedy}


def held_out(each: int = 6) -> list[tuple[list[int], list[bool]]]:
    """Dialogues that nano was not trained on, and which of their tokens are the graded answer."""
    encoder = Encoder(AutoTokenizer.from_pretrained(NANO).backend_tokenizer)
    encoded = [encoder.graded(one) for task in TASKS for one in islice(exam(task), each)]
    return [(one.ids, one.said) for one in encoded]


def exam(task: str) -> Iterator[Dialogue]:
    return dialogues.held_out(task, next(iter(PERSONAS)), "gpu")


def fill(runner: GpuRunner) -> None:
    """Random numbers: zeros would be read faster."""
    pages, scales = runner._cache._pages, runner._cache._scales
    for layer in pages:
        if scales is None:
            layer.normal_()
        else:
            layer.view(torch.uint8).random_(0, 120)
    if scales is not None:
        scales.fill_(0.01)


@torch.inference_mode()
def speed(model: Any, dtype: str, bytes_s: float) -> Iterator[dict[str, Any]]:
    pages = max(rows * -(-(past + 1) // 64) for rows, past in SHAPES)
    settings = shape.settings(kv_dtype=dtype, kv_tokens=64 * pages, max_running=256)
    runner = GpuRunner(model, settings)
    fill(runner)
    for rows, past in SHAPES:
        took = milliseconds(step(runner, rows, past))
        floor = milliseconds(products(runner, rows))
        read = 1e3 * rows * past * runner._cache.token_bytes / bytes_s
        yield {
            "kv_dtype": dtype,
            "rows": rows,
            "past": past,
            "step_ms": round(took, 3),
            "products_ms": round(floor, 3),
            "attention_ms": round(took - floor, 3),
            "keys_values_ms": round(read, 3),
        }


def main() -> None:
    with Figures() as figures:
        for dtype in DTYPES:
            figures.tell(**quality(dtype))
        model, bytes_s = shape.model(), copy_speed()
        for dtype in DTYPES:
            for line in speed(model, dtype, bytes_s):
                figures.tell(**line)
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
