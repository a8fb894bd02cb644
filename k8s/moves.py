"""A move made: what the status says after it. Traffic follows from here and nowhere else."""

from dataclasses import replace
from typing import Final, TypeVar

from k8s.phases import TRANSITIONS, Event, plan_of
from k8s.road import Hold, Phase, Refusal, Stable, Status, Step, Transition, Weight
from k8s.road.status import WHOLE
from k8s.rules import Move, Observed

_REMEMBERED: Final = 20  # transitions, refusals, retired versions in the status

Each = TypeVar("Each")


def make(move: Move, observed: Observed) -> Status:
    """Every move takes the road's step, weights and story along."""
    status = observed.status
    target = TRANSITIONS[status.phase][move.event]
    if move.event is Event.ADOPTED:
        changed = _adopted(move, observed)
    elif move.event is Event.CANDIDATE_NAMED:
        changed = _begun(move, observed)
    elif target is Phase.PROMOTED:
        changed = _promoted(move, observed)
    elif move.step is not None:
        changed = _entered(status, move.step, observed.now)
    else:
        changed = _returned(move, observed, target)
    return _told(replace(changed, phase=target), move, observed)


def _adopted(move: Move, observed: Observed) -> Status:
    return replace(
        observed.status,
        stable=move.version,
        stables=(_stable(move.version, observed),),
        weights=(Weight(version=move.version, weight=WHOLE),),
    )


def _begun(move: Move, observed: Observed) -> Status:
    plan = plan_of(observed.spec.policy)
    named = replace(
        observed.status,
        candidate=move.version,
        attempt=observed.spec.attempt,
        plan=plan,
        evaluation_digest="",
        verdicts=(),
        judged=None,
    )
    return _entered(named, plan[0], observed.now)


def _entered(status: Status, step: Step, now: float) -> Status:
    """The candidate gets the step's share, the stable version the rest."""
    shares = ((status.stable, WHOLE - step.weight), (status.candidate, step.weight))
    return replace(
        status,
        step=step.name,
        step_started_at=now,
        step_deadline=now + step.deadline,
        weights=tuple(Weight(version=name, weight=share) for name, share in shares if name),
        mirror_percent=step.mirror,
    )


def _promoted(move: Move, observed: Observed) -> Status:
    stables = (_stable(move.version, observed), *_without(observed.status, move.version))
    kept = observed.spec.policy.keep + 1
    fallen = tuple(each.version for each in stables[kept:])
    return replace(
        _at_rest(observed.status, move.version),
        stables=stables[:kept],
        retired=_latest((*observed.status.retired, *fallen)),
    )


def _returned(move: Move, observed: Observed, target: Phase) -> Status:
    """Everything on one stable version; whoever was left is refused from now on."""
    status = observed.status
    homeward = move.event in {Event.ROLLBACK_ASKED, Event.STABLE_LOST}
    home = move.version if homeward else status.stable or move.version
    stables = status.stables
    if home != status.stable:
        kept = tuple(each for each in stables if each.version == home)
        stables = kept + tuple(e for e in stables if e.version not in {home, status.stable})
    back = replace(
        _at_rest(status, home),
        stables=stables,
        refused=_latest((*status.refused, *_left(observed, home, move.message))),
    )
    return back if target is Phase.ABORTED else replace(back, hold=_hold(move, observed))


def _left(observed: Observed, home: str, reason: str) -> tuple[Refusal, ...]:
    """The candidate on its way, and a stable version that was given up."""
    status = observed.status
    candidate = (status.candidate, status.attempt) if status.under_way else (None, 0)
    asked = observed.spec.attempt if status.stable == observed.spec.candidate else 1
    given_up = (status.stable, asked) if status.stable != home else (None, 0)
    return tuple(
        Refusal(version=name, attempt=attempt, reason=reason)
        for name, attempt in (candidate, given_up)
        if name
    )


def _hold(move: Move, observed: Observed) -> Hold:
    number = observed.status.transitions + 1
    return Hold(id=f"hold-{number}", reason=move.message, since=observed.now)


def _at_rest(status: Status, stable: str) -> Status:
    return replace(
        status,
        stable=stable,
        step=None,
        step_started_at=None,
        step_deadline=None,
        weights=(Weight(version=stable, weight=WHOLE),),
        mirror_percent=0,
    )


def _stable(version: str, observed: Observed) -> Stable:
    spec = observed.spec
    known = spec.version(version)
    digests = (
        {
            "model_digest": known.model_digest,
            "image_digest": known.image_digest,
            "chart_version": known.chart_version,
            "config_digest": known.config_digest,
        }
        if known
        else {}
    )
    return Stable(
        version=version,
        promoted_at=observed.now,
        by=spec.requested_by,
        evaluation_digest=observed.status.evaluation_digest,
        **digests,
    )


def _without(status: Status, version: str) -> tuple[Stable, ...]:
    return tuple(each for each in status.stables if each.version != version)


def _told(status: Status, move: Move, observed: Observed) -> Status:
    number = status.transitions + 1
    line = Transition(
        number=number,
        at=observed.now,
        event=move.event,
        source=observed.status.phase,
        target=status.phase,
        version=move.version,
        step=status.step or observed.status.step,
        message=move.message,
        by=observed.spec.requested_by,
        generation=observed.road.generation,
    )
    return replace(
        status,
        transitions=number,
        history=_latest((*status.history, line)),
        decided_on=status.verdicts,
        message=move.message,
    )


def _latest(entries: tuple[Each, ...]) -> tuple[Each, ...]:
    return entries[-_REMEMBERED:]
