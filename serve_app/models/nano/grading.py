"""Grades of held-out dialogues: is the greedy answer exact, and by what margin.

An answer is exact only if the model's first choice is the right token at every position, its end
token included, given the right tokens before.  That is what greedy decoding does as long as it is
right, so one forward pass over prompt and answer decides it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from transformers import GlmForCausalLM

from serve_app.models.nano.batches import LENGTHS, Batch, collate
from serve_app.models.nano.dialogues import Dialogue
from serve_app.models.nano.encoding import Encoded, Encoder

_BATCH_TOKENS = 16384


@dataclass(frozen=True, slots=True)
class Grade:
    """`margin` is the smallest gap between best and second-best logit along the answer."""

    task: str
    exact: bool
    margin: float


def grade(
    model: GlmForCausalLM, encoder: Encoder, dialogues: Sequence[Dialogue]
) -> Iterator[Grade]:
    """Grades in order of prompt length."""
    pairs = sorted(
        ((encoder.graded(each), each.task) for each in dialogues), key=lambda pair: len(pair[0].ids)
    )
    for rows in _groups(pairs):
        encoded = [row for row, _ in rows]
        batch = collate(encoded, max(len(row.ids) for row in encoded)).to(model.device)
        grades = zip(rows, *_exactness(model, batch, encoded), strict=True)
        yield from (Grade(task, exact, margin) for (_, task), exact, margin in grades)


def answer_logits(model: GlmForCausalLM, batch: Batch) -> torch.Tensor:
    """Logits [targets, vocabulary] at the positions that count only."""
    hidden = model.model(input_ids=batch.ids, use_cache=False).last_hidden_state
    return torch.nn.functional.linear(hidden.flatten(0, 1)[batch.at], model.lm_head.weight)


@torch.inference_mode()
def _exactness(
    model: GlmForCausalLM, batch: Batch, rows: Sequence[Encoded]
) -> tuple[list[bool], list[float]]:
    logits = answer_logits(model, batch).float()
    best = logits.topk(2).values
    right = logits.argmax(-1) == batch.targets
    sizes = [sum(row.said) for row in rows]
    gaps = (best[:, 0] - best[:, 1]).cpu()
    exact = [bool(each.all()) for each in torch.split(right.cpu(), sizes)]
    return exact, [float(each.min()) for each in torch.split(gaps, sizes)]


def _groups(pairs: Iterable[tuple[Encoded, str]]) -> Iterator[list[tuple[Encoded, str]]]:
    """Rows of like length, at most so many tokens together."""
    for length, group in groupby(pairs, _bucket):
        rows = list(group)
        size = max(1, _BATCH_TOKENS // length)
        yield from (rows[at : at + size] for at in range(0, len(rows), size))


def _bucket(pair: tuple[Encoded, str]) -> int:
    return LENGTHS[bisect_left(LENGTHS, len(pair[0].ids))]
