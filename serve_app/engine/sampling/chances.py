"""How likely tokens were: the natural logarithm of the softmax of raw logits.

Raw as in vLLM's default, logprobs_mode="raw_logprobs": before biases, penalties, temperature and
filters. Unlike vLLM's, before a grammar's mask too.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Many

import torch
from torch import Tensor

from serve_app.engine.batch import Row
from serve_app.engine.draws import Chances
from serve_app.engine.sequence import Sequence

MOST = 20  # alternatives one may ask for; always so many are ranked, so that equals never swap
_SLICE = 64  # rows of logits copied at a time: with 151,552 tokens 39 MB

Asked = tuple[int, int]  # a token, and how many alternatives to it


def drawn_chances(
    logits: Tensor, rows: Many[Row], tokens: Many[int | None]
) -> Mapping[int, Chances]:
    """Return by place what rows of logits [B, V] gave their tokens, where that is asked for."""
    asked = {
        place: (token, row.sequence.choice.logprobs)
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True))
        if row.sequence.choice.logprobs is not None and token is not None
    }
    if not asked:
        return {}
    return dict(zip(asked, _chances(logits[list(asked)], list(asked.values())), strict=True))


def asked_places(row: Row) -> range:
    """Places in a prompt where the probability of the token that follows is asked for."""
    sequence = row.sequence
    if sequence.choice.prompt_logprobs is None:
        return range(0)
    return range(row.start, min(row.start + row.count, sequence.prompt_tokens - 1))


def prompt_chances(logits: Tensor, rows: Many[Row]) -> Mapping[Sequence, list[Chances]]:
    """Return what logits [N, V], of all the rows' asked places in order, gave the next tokens."""
    asking = [row for row in rows if asked_places(row)]
    asked = [
        (row.sequence.tokens[place + 1], row.sequence.choice.prompt_logprobs or 0)
        for row in asking
        for place in asked_places(row)
    ]
    chances = _chances(logits, asked)
    return {row.sequence: [next(chances) for _ in asked_places(row)] for row in asking}


def _chances(logits: Tensor, asked: list[Asked]) -> Iterator[Chances]:
    for begin in range(0, len(asked), _SLICE):
        part = slice(begin, begin + _SLICE)
        yield from _slice(logits[part].float().log_softmax(-1), asked[part])


def _slice(logprobs: Tensor, asked: list[Asked]) -> Iterator[Chances]:
    own = logprobs.gather(-1, torch.tensor([[token] for token, _ in asked], device=logprobs.device))
    most = max(count for _, count in asked)
    ranks = (logprobs > own).sum(-1) + 1
    ranked = logprobs.topk(min(max(most, MOST), logprobs.shape[-1]) if most else 0)
    tops = zip(ranked.indices.tolist(), ranked.values.tolist(), strict=True)
    drawn = zip(own[:, 0].tolist(), ranks.tolist(), strict=True)
    for (_, count), (logprob, rank), top in zip(asked, drawn, tops, strict=True):
        yield Chances(logprob, tuple(zip(*(side[:count] for side in top), strict=True)), rank)
