"""Tokens for the rows that draw: on the card where it can be, else by the host's sampler."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from serve_app.engine.batch import Row
from serve_app.engine.draws import Chances
from serve_app.engine.gpu.ferry import Ferry
from serve_app.engine.gpu.kernels.nucleus import Cuts, floors
from serve_app.engine.gpu.kernels.race import UNSOUND, Odds, race
from serve_app.engine.sampling.sampler import Sampler


@dataclass(frozen=True, slots=True)
class Drawn:
    """Tokens [B] int32 on the card, UNSOUND where there is none, and what else was asked for."""

    tokens: Tensor
    chances: Mapping[int, Chances]
    by_host: bool = False  # whether the card was waited for


class Drawer:
    """Leaves each row's token by its seat, where the next step finds it."""

    def __init__(self, last: Tensor) -> None:
        """`last` [S] int32: the last token of each seat."""
        self._last = last
        self._ferry = Ferry(last.device)
        self._sampler = Sampler()

    def draw(
        self, logits: Tensor, rows: Sequence[Row], seats: Tensor, likeliest: Tensor | None
    ) -> Drawn:
        """Draw from `logits` [B, V] for rows with `seats` [B]; `likeliest` if known already.

        Only rows that need the host (penalties, biases, grammars, probabilities) wait for the card.
        """
        tokens = likeliest
        if tokens is None or any(_by_lot(row) for row in rows):
            tokens = race(logits, self._odds(logits, rows), seats, self._last)
        slow = [place for place, row in enumerate(rows) if row.sequence.by_host]
        if not slow:
            return Drawn(tokens, {})
        tokens = tokens.clone()
        return Drawn(tokens, self._ask_host(logits, rows, seats, slow, tokens), by_host=True)

    def _odds(self, logits: Tensor, rows: Sequence[Row]) -> Odds | None:
        if not any(_by_lot(row) for row in rows):
            return None
        choices = [row.sequence.choice for row in rows]
        wishes = self._send(
            [
                [choice.temperature if choice.hot else 0.0 for choice in choices],
                [choice.min_p for choice in choices],
                [choice.top_p for choice in choices],
            ],
            np.float32,
        )
        whole = self._send(
            [
                [choice.top_k for choice in choices],
                [row.start + row.count for row in rows],
                [choice.seed & 0x7FFFFFFF for choice in choices],
            ],
            np.int32,
        )
        floor = None
        if any(_cuts(row) for row in rows):
            floor = floors(logits, Cuts(wishes[0], whole[0], wishes[1], wishes[2]))
        return Odds(wishes[0], whole[2], whole[1], floor)

    def _ask_host(
        self,
        logits: Tensor,
        rows: Sequence[Row],
        seats: Tensor,
        slow: list[int],
        tokens: Tensor,
    ) -> Mapping[int, Chances]:
        """Put the sampler's tokens among those drawn on the card."""
        places = self._send(slow, np.int64)
        draws = self._sampler.choose(logits[places], [rows[place] for place in slow])
        own = self._send([UNSOUND if token is None else token for token in draws.tokens], np.int32)
        tokens[places] = own
        self._last[seats[places].long()] = own.clamp(min=0)
        return {slow[place]: chances for place, chances in draws.chances.items()}

    def _send(self, numbers: Iterable[object], kind: type[np.generic]) -> Tensor:
        return self._ferry.send(np.array(numbers, kind))


def _by_lot(row: Row) -> bool:
    return row.sequence.choice.hot and not row.sequence.by_host


def _cuts(row: Row) -> bool:
    choice = row.sequence.choice
    return choice.hot and (choice.top_k > 0 or choice.top_p < 1.0 or choice.min_p > 0.0)
