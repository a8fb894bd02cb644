"""The whole decision: what the status shall say, given what the world looks like."""

from dataclasses import replace

from k8s.conditions import conditions_of, versions_of
from k8s.moves import make
from k8s.road import Status
from k8s.road.route import service_of
from k8s.rules import Observed, awaited, holding, next_move, not_startable, waiting_for

_OVER = "all checks passed at the last look; one more, and it is over"


def decide(observed: Observed) -> Status:
    """The next status; the same one when nothing has changed. One move at most."""
    settled = replace(_with(observed, _settled(observed)), jump=0.0)
    move = next_move(settled)
    if move is not None:
        settled = _with(settled, make(move, settled))
    else:
        settled = _with(settled, replace(settled.status, message=_message(settled)))
    versions = versions_of(settled.status, settled.spec, settled.ready)
    settled = _with(settled, replace(settled.status, versions=versions))
    return replace(settled.status, conditions=conditions_of(settled))


def _with(observed: Observed, status: Status) -> Observed:
    return replace(observed, road=replace(observed.road, status=status))


def _settled(observed: Observed) -> Status:
    """What follows without a move: numbers taken down, holds lifted, clocks set."""
    status = replace(observed.status, observed_generation=observed.road.generation)
    if status.hold and observed.spec.lift_hold == status.hold.id:
        status = replace(status, hold=None)
    if not status.under_way:
        return status
    if observed.report is not None:
        status = replace(
            status,
            verdicts=tuple(observed.report),
            judged=status.step,
            evaluation_digest=observed.evaluation_digest or status.evaluation_digest,
        )
    return _clocked(status, observed)


def _clocked(status: Status, observed: Observed) -> Status:
    """Under a hold no deadline runs; after it, or if its clock cannot be right, a step begins anew.

    A clock that was set is not time that went by: the step moves along with it. Its gate goes on
    looking under a hold, at all numbers since it began.
    """
    started, step = observed.started_at, status.current_step()
    if holding(observed) is not None:
        return replace(status, step_started_at=started, step_deadline=None)
    if started is None or started > observed.now or status.step_deadline is None:
        started = observed.now
    if step is None or (started, started + step.deadline) == (
        status.step_started_at,
        status.step_deadline,
    ):
        return status
    return replace(status, step_started_at=started, step_deadline=started + step.deadline)


def _deserted(stable: str, observed: Observed) -> str:
    service = service_of(stable)
    there = stable in observed.ready
    lost = f"nobody answers behind {service}" if there else f"the Service {service} is gone"
    living = [each.version for each in observed.status.stables if observed.ready.get(each.version)]
    way = f"kubectl glm rollback --to {living[0]}" if living else "no other kept version answers"
    return f"{lost}, so users get errors; {way}"


def _message(observed: Observed) -> str:
    """One sentence on why nothing moves."""
    status = observed.status
    held = holding(observed)
    if status.stable is None:
        return f"the Service of {observed.spec.stable} is not there yet"
    if not observed.ready.get(status.stable):
        return _deserted(status.stable, observed)
    if status.under_way:
        return held or f"{status.step}: {waiting_for(observed) or _OVER}"
    if back := awaited(observed):
        return back
    if observed.spec.candidate in {None, status.stable}:
        return held or f"{status.stable} has all traffic"
    return held or not_startable(observed) or f"{observed.spec.candidate} can begin"
