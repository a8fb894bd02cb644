"""Asks for samples beside the loop, so that a slow Prometheus never delays a way back."""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Protocol

from k8s.errors import Unreachable
from k8s.samples import Sample


class Samples(Protocol):
    """Where samples come from; `prometheus.Prometheus` is the real one."""

    def samples(self, versions: tuple[str, ...], window_s: float) -> Mapping[str, Sample]: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What two versions did; `unseen` says why nothing is known."""

    samples: Mapping[str, Sample] = field(default_factory=dict)
    unseen: str = ""


class Sampler:
    """One road's: at most one question under way, an answer is given out once."""

    def __init__(
        self,
        source: Samples,
        executor: Executor,
        steady: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._source = source
        self._executor = executor
        self._steady = steady
        self._wake = wake
        self._question: tuple[Hashable, Future[Reading]] | None = None
        self._asked_at: float | None = None

    def read(
        self, step: Hashable, versions: tuple[str, ...], window_s: float, every_s: float
    ) -> Reading | None:
        """What came in for this step since the last call, if anything; asks anew when it is time.

        `step` tells one step from another, and from itself begun anew: answers to questions of
        an earlier one are thrown away.
        """
        answer = self._answer(step)
        now = self._steady()
        if self._question is None and (self._asked_at is None or now >= self._asked_at + every_s):
            self._asked_at = now
            future = self._executor.submit(self._ask, versions, window_s)
            self._question = (step, future)
            future.add_done_callback(lambda _: self._wake())
        return answer

    def _answer(self, step: Hashable) -> Reading | None:
        if self._question is None or not self._question[1].done():
            return None
        asked_in, future = self._question
        self._question = None
        return future.result() if asked_in == step else None

    def _ask(self, versions: tuple[str, ...], window_s: float) -> Reading:
        try:
            return Reading(self._source.samples(versions, window_s))
        except Unreachable as error:
            return Reading(unseen=error.message)
