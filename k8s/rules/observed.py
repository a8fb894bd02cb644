"""What rules look at, and what they answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from k8s.phases import Event
from k8s.road import Road, Spec, Status, Step, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the world looked like; `now` in Unix seconds."""

    road: Road
    ready: Mapping[str, int]
    """Ready endpoints of every version that has a Service."""
    now: float
    report: Sequence[Verdict] | None = None
    """The gate's answer for the current step; None when it was not asked."""
    evaluation_digest: str = ""
    """Of the candidate's report."""
    routed: bool | None = None
    """Whether every gateway that the route names has taken it; None while there is no route."""
    jump: float = 0.0
    """Seconds by which the clock was set forward since the last look; negative for back."""

    @property
    def spec(self) -> Spec:
        return self.road.spec

    @property
    def status(self) -> Status:
        return self.road.status

    @property
    def started_at(self) -> float | None:
        """When the step began, by the clock as it is set now."""
        started = self.status.step_started_at
        return None if started is None else started + self.jump


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One transition to make; `version` is who it is about, or who gets everything."""

    event: Event
    version: str
    message: str
    step: Step | None = None


def holding(observed: Observed) -> str | None:
    """Why nothing may go forward, in words."""
    spec, hold = observed.spec, observed.status.hold
    if spec.hold:
        reason = spec.hold.reason or "no reason given"
        return f"held by {spec.hold.by or 'somebody'}: {reason}"
    if spec.rollback_to:
        return f"rollbackTo names {spec.rollback_to}; nothing goes forward until it is removed"
    if hold and spec.lift_hold != hold.id:
        return f"{hold.id}: {hold.reason}; lift it by its id"
    return None


def asked_by(observed: Observed) -> str:
    """Who stands behind the spec, as far as it says."""
    return observed.spec.requested_by or "the spec"


def in_words(verdicts: Sequence[Verdict]) -> str:
    """Checks that say the same, as when Prometheus is gone, say it once."""
    said: dict[str, list[str]] = {}
    for each in verdicts:
        said.setdefault(each.message, []).append(each.check)
    return "; ".join(f"{', '.join(checks)}: {message}" for message, checks in said.items())
