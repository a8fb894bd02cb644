"""What is added to the logits of single tokens: biases, and -inf where one may not come."""

from collections.abc import Iterator
from collections.abc import Sequence as Many

import torch
from torch import Tensor

from serve_app.engine.sequence import Sequence


def keep_allowed(logits: Tensor, sequences: Many[Sequence]) -> None:
    """Set logits [B, V] to -inf, in place, but for the tokens that a choice allows."""
    for row, sequence in zip(logits, sequences, strict=True):
        if sequence.choice.allowed:
            index = torch.tensor(sequence.choice.allowed, device=logits.device)
            kept = row[index]
            row.fill_(float("-inf"))
            row[index] = kept


def shift(logits: Tensor, sequences: Many[Sequence]) -> None:
    """Change logits [B, V] in place; ids outside the vocabulary are passed over."""
    size = logits.shape[-1]
    added = [
        (place, token, value)
        for place, sequence in enumerate(sequences)
        for token, value in _shifts(sequence)
        if 0 <= token < size
    ]
    if added:
        places, tokens, values = zip(*added, strict=True)
        index = torch.tensor([places, tokens], device=logits.device)
        logits.index_put_(tuple(index), logits.new_tensor(values), accumulate=True)


def _shifts(sequence: Sequence) -> Iterator[tuple[int, float]]:
    """A finished grammar outweighs min_tokens: it leaves nothing but an end to say."""
    choice, matcher = sequence.choice, sequence.matcher
    early = sequence.completion_tokens < choice.min_tokens
    if early and not (matcher and matcher.finished):
        yield from ((token, float("-inf")) for token in choice.held_back)
    yield from ((token, float("-inf")) for token in _completing(sequence))
    yield from choice.logit_bias


def _completing(sequence: Sequence) -> Iterator[int]:
    """Tokens that would complete what is banned; what the prompt says begins nothing."""
    said = sequence.completion_tokens
    for *before, last in sequence.choice.banned:
        begun = len(before)
        if begun <= said and (not begun or sequence.tokens[-begun:] == before):
            yield last
