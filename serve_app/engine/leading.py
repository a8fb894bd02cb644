"""The first of several ranks: it tells the others each step, then computes its own share of it."""

import pickle

from serve_app.engine.batch import Batch
from serve_app.engine.crew import Crew
from serve_app.engine.flight import Flight, Runner, RunnerLost
from serve_app.engine.limits import Limits
from serve_app.engine.orders import Dictation, Hearing, Order


class LeadingRunner:
    """Steps that every rank computes, or none: after a failure they would be out of step."""

    def __init__(self, runner: Runner, crew: Crew, limits: Limits) -> None:
        self._runner = runner
        self._crew = crew
        self._dictation = Dictation(2 * limits.max_running)

    def begin(self, batch: Batch) -> Flight:
        """Begin a step; raises RunnerLost if it cannot be begun everywhere."""
        try:
            self._crew.tell(pickle.dumps(self._dictation.of(batch), pickle.HIGHEST_PROTOCOL))
            return self._runner.begin(batch)
        except Exception as error:
            raise RunnerLost("The ranks are out of step.") from error


class Following:
    """Another rank: it computes its share of what it is told."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._hearing = Hearing()

    def obey(self, message: bytes) -> None:
        order: Order = pickle.loads(message)  # noqa: S301 - from the process that began this one
        self._runner.begin(self._hearing.batch(order))
