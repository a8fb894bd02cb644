"""Rules by which a release goes on, and why it does not yet."""

import math
from typing import Final

from k8s.phases import Event, entering, following
from k8s.road import Leave, Outcome, Spec, Status
from k8s.road.route import service_of
from k8s.road.spec import PROMOTED
from k8s.rules.observed import Move, Observed, asked_by, in_words

_ROUNDED_S: Final = 10  # a message that changed every second would be written every second


def adopted(observed: Observed) -> Move | None:
    """A new road takes the stable version of its spec."""
    spec, status = observed.spec, observed.status
    if status.stable is not None or spec.stable not in observed.ready:
        return None
    message = f"{spec.stable} has all traffic"
    return Move(event=Event.ADOPTED, version=spec.stable, message=message)


def step_passed(observed: Observed) -> Move | None:
    """On to the next step, or to everybody."""
    status = observed.status
    if status.candidate is None or not observed.report or waiting_for(observed) is not None:
        return None  # an old verdict lets nobody through
    step, leave = following(status.plan, status.step), leave_of(observed.spec, status)
    passed = f"{status.step} passed" + (f", {leave.by or 'somebody'} let it go on" if leave else "")
    message = f"{passed}; " + (
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
    if step is None or status.step_started_at is None or status.step_deadline is None:
        return "no step's time runs"
    if not observed.ready.get(status.candidate or ""):
        return f"nobody answers behind {service_of(status.candidate or '')} yet"
    if status.judged != status.step or not status.verdicts:
        return "its gate has not been looked at yet"
    open_checks = [each for each in status.verdicts if each.outcome is not Outcome.PASS]
    if open_checks:
        return in_words(open_checks)
    left = status.step_started_at + step.duration - observed.now
    if left > 0:
        return f"all checks pass; {math.ceil(left / _ROUNDED_S) * _ROUNDED_S} s to go"
    return None


def _ceiling(observed: Observed) -> str | None:
    """The step may be over, yet nobody has allowed the next one."""
    return _held(observed) or _above(observed)


def _held(observed: Observed) -> str | None:
    step = observed.status.current_step()
    if step is None or not step.hold or leave_of(observed.spec, observed.status):
        return None
    return f"all checks pass; a person must let it go on: kubectl glm resume --hold {step.name}"


def leave_of(spec: Spec, status: Status) -> Leave | None:
    """What a person has said on this very step of this candidate."""
    leave = spec.leave
    if leave and (leave.version, leave.attempt, leave.step) == (
        status.candidate,
        status.attempt,
        status.step,
    ):
        return leave
    return None


def _above(observed: Observed) -> str | None:
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


def candidate_named(observed: Observed) -> Move | None:
    """A release begins."""
    spec = observed.spec
    if spec.candidate is None or not_startable(observed) is not None:
        return None
    message = f"{asked_by(observed)} released {spec.candidate}"
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
