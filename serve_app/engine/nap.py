"""Sleeps through a long step, and wakes shortly before its end to plan the next one.

Who comes while it sleeps is in the next step; and the card need not wait while that is planned.
"""

import time
from collections.abc import Callable

from serve_app.engine.batch import Batch
from serve_app.engine.flight import Flight

_LONG = 2048  # tokens of prompts in a step that is worth a nap
_MARGIN_S = 0.008  # planning and beginning a step takes less
_WIGGLE = 0.03  # by which one long step is shorter than the last
_BLINK_S = 0.001


class Nap:
    """Knows from the last long step how long the next one will be."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._token_s: float | None = None  # None: there was none

    @staticmethod
    def suits(batch: Batch) -> bool:
        return batch.chunk_tokens >= _LONG

    def learn(self, batch: Batch, seconds: float) -> None:
        if seconds and self.suits(batch):
            self._token_s = seconds / batch.chunk_tokens

    def take(self, batch: Batch, flight: Flight) -> None:
        """Sleep from the beginning of a step until it is nearly over."""
        wake = self._clock() + self._expected(batch)
        while not flight.is_over and self._clock() < wake:
            self._sleep(_BLINK_S)

    def _expected(self, batch: Batch) -> float:
        if self._token_s is None:
            return float("inf")
        return batch.chunk_tokens * self._token_s * (1 - _WIGGLE) - _MARGIN_S
