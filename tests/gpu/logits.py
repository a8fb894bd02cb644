"""Logits of the runner, which it keeps to itself, and how far they are from others."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from serve_app.engine.batch import Batch, Row
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.sequence import Sequence as Tokens
from tests.gpu import shape

_PAGE = shape.settings().page_tokens


def logits_after(
    runner: GpuRunner, words: list[int], ends: Sequence[int], beside: Sequence[Row] = ()
) -> Tensor:
    """Compute the words up to each end; return the logits [ends, words] of the last of them.

    One word is a single token; more are a chunk, with the rows `beside` it.
    """
    seen = _watch(runner)
    sequence, pages = Tokens(words, 8), list(range(-(-len(words) // _PAGE)))
    for start, end in pairwise((0, *ends)):
        row = Row(sequence, start, end - start, True, pages)
        single = end - start == 1
        runner.run(Batch((row,), ()) if single else Batch(tuple(beside), (row,)))
    return torch.stack([logits[-1] for logits in seen])


def _watch(runner: GpuRunner) -> list[Tensor]:
    """Return a list of the logits [rows, words] of each step to come, of which none is recorded."""
    seen: list[Tensor] = []
    original = runner._stack.logits

    def spy(step: Any) -> Tensor:
        seen.append(original(step))
        return seen[-1]

    runner._stack.logits = spy  # type: ignore[method-assign]  # a look at what it computes
    runner._graphs = None
    return seen


def error(found: Tensor, wanted: Tensor) -> float:
    """How far they are apart, in the length of `wanted`."""
    return ((found.float().cpu() - wanted).norm() / wanted.norm()).item()
