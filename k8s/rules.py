"""What happens next: an ordered list of rules, each of which sees one kind of event or none.

Nothing here speaks to anybody: facts in, at most one move out. A rollback stands first, so it
always wins; a hold lets only the ways back through.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from k8s.phases import TRANSITIONS, UNDER_A_HOLD, Event, entering, following
from k8s.road import Outcome, Road, Spec, Stable, Status, Step, Verdict
from k8s.road.route import service_of
from k8s.road.spec import PROMOTED

_ROUNDED_S: Final = 10  # a message that changed every second would be written every second


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
    jump: float = 0.0
    """Seconds by which the clock was set forward since the last look; negative for back."""

    @property
    def spec(self) -> Spec:
        return self.road.spec

    @property
    def status(self) -> Status:
        return self.road.status


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One transition to make; `version` is who it is about, or who gets everything."""

    event: Event
    version: str
    message: str
    step: Step | None = None


def next_move(observed: Observed) -> Move | None:
    """The most urgent move that the table allows in this phase, if any."""
    allowed = TRANSITIONS[observed.status.phase]
    held = holding(observed) is not None
    for rule in RULES:
        move = rule(observed)
        if move and move.event in allowed and (not held or move.event in UNDER_A_HOLD):
            return move
    return None


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


def _adopted(observed: Observed) -> Move | None:
    spec, status = observed.spec, observed.status
    if status.stable is not None or spec.stable not in observed.ready:
        return None
    message = f"{spec.stable} has all traffic"
    return Move(event=Event.ADOPTED, version=spec.stable, message=message)


def _rollback_asked(observed: Observed) -> Move | None:
    target = _wanted_back(observed)
    if target is None:
        return None
    if observed.ready.get(target.version):
        return _back_to(target.version, f"{_asked_by(observed)} asked for {target.version}")
    if observed.status.under_way and observed.status.stable:
        why = f"{target.version} was asked for, but nobody answers behind it"
        return _back_to(observed.status.stable, why)
    return None


def _wanted_back(observed: Observed) -> Stable | None:
    """A kept version that the spec ends at, though users are elsewhere or on two versions."""
    spec, status = observed.spec, observed.status
    wanted = spec.rollback_to or spec.target
    at_home = wanted == status.stable and not (spec.rollback_to and status.under_way)
    return None if at_home else status.kept(wanted)


def _back_to(version: str, why: str) -> Move:
    return Move(event=Event.ROLLBACK_ASKED, version=version, message=why)


def _asked_by(observed: Observed) -> str:
    return observed.spec.requested_by or "the spec"


def _stable_lost(observed: Observed) -> Move | None:
    status = observed.status
    if status.stable is None or status.stable in observed.ready:
        return None
    living = [each.version for each in status.stables if each.version in observed.ready]
    if not living:
        return None
    best = next((name for name in living if observed.ready[name]), living[0])
    message = f"the Service {service_of(status.stable)} is gone; {best} has all traffic"
    return Move(event=Event.STABLE_LOST, version=best, message=message)


def _candidate_lost(observed: Observed) -> Move | None:
    status = observed.status
    if not status.under_way or status.candidate is None:
        return None
    candidate = status.candidate
    if candidate not in observed.ready:
        why = f"the Service {service_of(candidate)} is gone"
    elif status.weight(candidate) and not observed.ready[candidate]:
        why = f"nobody answers behind {service_of(candidate)}, which has a share of traffic"
    else:
        return None
    return Move(event=Event.CANDIDATE_LOST, version=candidate, message=why)


def _withdrawn(observed: Observed) -> Move | None:
    spec, status = observed.spec, observed.status
    asked = (spec.candidate, spec.attempt)
    if status.candidate is None or asked == (status.candidate, status.attempt):
        return None
    instead = f"; it names {spec.candidate}, attempt {spec.attempt}" if spec.candidate else ""
    message = f"the spec no longer asks for {status.candidate}{instead}"
    return Move(event=Event.WITHDRAWN, version=status.candidate, message=message)


def _gate_failed(observed: Observed) -> Move | None:
    failed = [each for each in observed.report or () if each.outcome is Outcome.FAIL]
    if not failed or observed.status.candidate is None:
        return None
    message = "; ".join(f"{each.check}: {each.message}" for each in failed)
    return Move(event=Event.GATE_FAILED, version=observed.status.candidate, message=message)


def _deadline_exceeded(observed: Observed) -> Move | None:
    status = observed.status
    deadline = status.step_deadline
    if deadline is None or status.candidate is None or observed.now < deadline:
        return None
    message = f"{status.step} was not over by its deadline; {status.message}"
    return Move(event=Event.DEADLINE_EXCEEDED, version=status.candidate, message=message)


def _step_passed(observed: Observed) -> Move | None:
    status = observed.status
    if status.candidate is None or not observed.report or waiting_for(observed) is not None:
        return None  # an old verdict lets nobody through
    step = following(status.plan, status.step)
    message = f"{status.step} passed; " + (
        f"{step.name} begins" if step else f"{status.candidate} has all traffic"
    )
    return Move(event=entering(step), version=status.candidate, message=message, step=step)


def waiting_for(observed: Observed) -> str | None:
    """Why the current step is not over, in words; None when it is."""
    return _unfinished(observed) or _ceiling(observed)


def awaits_leave(observed: Observed) -> bool:
    """Whether the step is over but for somebody who allows the next one."""
    return _unfinished(observed) is None and _ceiling(observed) is not None


def _unfinished(observed: Observed) -> str | None:
    status, step = observed.status, observed.status.current_step()
    if step is None or status.step_started_at is None:
        return "no step is under way"
    if not observed.ready.get(status.candidate or ""):
        return f"nobody answers behind {service_of(status.candidate or '')} yet"
    if status.judged != status.step or not status.verdicts:
        return "its gate has not been looked at yet"
    open_checks = [each for each in status.verdicts if each.outcome is not Outcome.PASS]
    if open_checks:
        return "; ".join(f"{each.check}: {each.message}" for each in open_checks)
    left = status.step_started_at + step.duration - observed.now
    if left > 0:
        return f"all checks pass; {math.ceil(left / _ROUNDED_S) * _ROUNDED_S} s to go"
    return None


def _ceiling(observed: Observed) -> str | None:
    """The step may be over, yet nobody has allowed the next one."""
    status, ceiling = observed.status, observed.spec.advance_to
    names = [each.name for each in status.plan]
    if ceiling == PROMOTED:
        return None
    if (
        ceiling in names
        and status.step in names
        and names.index(status.step) < names.index(ceiling)
    ):
        return None
    return f"all checks pass; advanceTo says {ceiling}"


def _candidate_named(observed: Observed) -> Move | None:
    spec = observed.spec
    if spec.candidate is None or not_startable(observed) is not None:
        return None
    message = f"{_asked_by(observed)} released {spec.candidate}"
    return Move(event=Event.CANDIDATE_NAMED, version=spec.candidate, message=message)


def not_startable(observed: Observed) -> str | None:
    """Why the spec's candidate does not begin, in words; None when it can."""
    spec, status = observed.spec, observed.status
    if spec.candidate is None or spec.candidate == status.stable:
        return "no candidate"
    for refusal in status.refused:
        if refusal.version == spec.candidate and refusal.attempt >= spec.attempt:
            return f"{spec.candidate} was refused: {refusal.reason}"
    if spec.stable != status.stable:
        return (
            f"the spec expects {spec.stable} as the stable version, but {status.stable} is: "
            "another release or a rollback came between"
        )
    if spec.candidate not in observed.ready:
        return f"{service_of(spec.candidate)} is not there yet"
    return None


Rule = Callable[[Observed], Move | None]
RULES: Final[tuple[Rule, ...]] = (
    _rollback_asked,
    _stable_lost,
    _candidate_lost,
    _withdrawn,
    _gate_failed,
    _deadline_exceeded,
    _step_passed,
    _adopted,
    _candidate_named,
)
