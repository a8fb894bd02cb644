"""The real scheduler and the real runner, with one step always under way.

The engine's loop does this for the product; here it is bare, so that a benchmark sees the card.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from serve_app.engine.batch import Batch
from serve_app.engine.flight import Flight
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.limits import Limits
from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Sequence
from serve_app.settings import EngineSettings
from tests.gpu.marked import Marked


@dataclass
class Times:
    """When each of a stream's tokens was known to the host, in seconds."""

    begun: float
    tokens: list[float] = field(default_factory=list)

    @property
    def first(self) -> float:
        return self.tokens[0] - self.begun

    @property
    def each(self) -> float:
        """Seconds a token after the first."""
        return (self.tokens[-1] - self.tokens[0]) / (len(self.tokens) - 1)


class Drive:
    """Runs sequences to their end; `ahead` begins a step before the last one is read."""

    def __init__(self, runner: GpuRunner, settings: EngineSettings, *, ahead: bool = True) -> None:
        self._runner = Marked(runner)
        self._scheduler = Scheduler(Limits.of(settings))
        self._depth = 1 if ahead else 0

    def finish(self, sequences: Iterable[Sequence]) -> dict[Sequence, Times]:
        times = {}
        for sequence in sequences:
            self._scheduler.add(sequence)
            times[sequence] = Times(time.perf_counter())
        under_way: deque[tuple[Flight, Batch]] = deque()
        self._runner.marks.clear()
        while self._scheduler.running or self._scheduler.waiting:
            batch = self._scheduler.schedule()
            if batch:
                under_way.append((self._runner.begin(batch), batch))
            while len(under_way) > (self._depth if batch else 0):
                self._read(*under_way.popleft(), times)
        return times

    def gaps_us(self) -> list[float]:
        """Microseconds for which the card had nothing to do, before each step but the first."""
        return [1e3 * gap for gap in self._runner.gaps_ms()]

    def _read(self, flight: Flight, batch: Batch, times: dict[Sequence, Times]) -> None:
        booked = self._scheduler.apply(batch, flight.draws())
        now = time.perf_counter()
        for place in booked:
            times[batch.drawing[place].sequence].tokens.append(now)
