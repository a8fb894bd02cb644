"""Logits [B, V] to tokens [B]: rows of every kind side by side, in vLLM's order.

That is (docs.vllm.ai/en/v0.22.1/api/vllm/v1/sample/sampler): allowed tokens, bad words, min_tokens,
logit_bias, penalties; then the likeliest token, or temperature, min_p, top_k, top_p and a draw. A
token depends on its row's own logits, tokens, seed and position, never on its neighbours or on what
was drawn before; so an answer is the same in any batch, and after a preemption.
"""

from collections.abc import Sequence as Many
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from serve_app.engine.batch import Row
from serve_app.engine.draws import Draws
from serve_app.engine.sampling.chances import drawn_chances
from serve_app.engine.sampling.filters import narrow
from serve_app.engine.sampling.grammar import allow_only
from serve_app.engine.sampling.lottery import draw, uniform
from serve_app.engine.sampling.penalties import penalise
from serve_app.engine.sampling.shifts import keep_allowed, shift
from serve_app.engine.sampling.tally import Tally
from serve_app.engine.sequence import Sequence

_NONE = -1  # in place of a token where there is none to choose


class Sampler:
    """Keeps a tally for each sequence that penalises, as long as the sequence lives."""

    def __init__(self) -> None:
        self._tallies: WeakKeyDictionary[Sequence, Tally] = WeakKeyDictionary()

    def choose(self, logits: Tensor, rows: Many[Row]) -> Draws:
        """Return a token a row; None if its logits are not numbers or nothing is allowed."""
        best, tokens = logits.max(-1)
        wishing = [
            place
            for place, row in enumerate(rows)
            if not row.sequence.choice.plain or row.sequence.matcher is not None
        ]
        if wishing:
            theirs = [rows[place] for place in wishing]
            tokens[wishing] = self._choose(logits[wishing].float(), theirs)
        chosen = torch.where(best.isfinite(), tokens, _NONE).tolist()
        drawn = [None if token == _NONE else token for token in chosen]
        return Draws(drawn, drawn_chances(logits, rows, drawn) if wishing else {})

    def _choose(self, logits: Tensor, rows: list[Row]) -> Tensor:
        """Return tokens [B]; the logits are a copy, and changed."""
        self._edit(logits, [row.sequence for row in rows])
        best, tokens = logits.max(-1)
        hot = [place for place, row in enumerate(rows) if row.sequence.choice.hot]
        if hot:
            level = logits[hot].sub_(best[hot, None])
            tokens[hot] = _draw(level, [rows[place] for place in hot])
        return torch.where(best.isfinite(), tokens, _NONE)

    def _edit(self, logits: Tensor, sequences: list[Sequence]) -> None:
        keep_allowed(logits, sequences)
        shift(logits, sequences)
        places = [place for place, each in enumerate(sequences) if each.choice.penalises]
        if places:
            choices = [sequences[place].choice for place in places]
            penalise(logits, places, choices, [self._tally(sequences[place]) for place in places])
        allow_only(logits, sequences)

    def _tally(self, sequence: Sequence) -> Tally:
        tally = self._tallies.get(sequence)
        if tally is None:
            tally = self._tallies[sequence] = Tally(sequence)
        tally.follow(sequence)
        return tally


def _draw(logits: Tensor, rows: list[Row]) -> Tensor:
    choices = [row.sequence.choice for row in rows]
    temperatures = logits.new_tensor([choice.temperature for choice in choices])
    chances = [uniform(row.sequence.choice.seed, row.start + row.count) for row in rows]
    narrow(logits.div_(temperatures[:, None]), choices)
    return draw(logits, [choice.top_p for choice in choices], chances)
