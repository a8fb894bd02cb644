"""The road as a table: from which phase which event leads where; all else is no transition."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from k8s.road import Phase, Policy, Step, Thresholds


class Event(StrEnum):
    """What can happen to a road, most urgent first."""

    ROLLBACK_ASKED = "RollbackAsked"  # by rollbackTo, or by a spec that ends at a kept version
    STABLE_LOST = "StableLost"  # its Service is gone
    CANDIDATE_LOST = "CandidateLost"  # its Service is gone, or nobody answers its share
    WITHDRAWN = "Withdrawn"  # the spec names no candidate any more, or another one
    GATE_FAILED = "GateFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"  # the dead man's switch of every step
    MIRROR_BEGINS = "MirrorBegins"
    SHARE_GROWS = "ShareGrows"
    LAST_STEP_PASSED = "LastStepPassed"
    ADOPTED = "Adopted"  # a new road takes what spec.stable says
    CANDIDATE_NAMED = "CandidateNamed"


_RETURNS: Final = {
    Event.ROLLBACK_ASKED: Phase.ROLLED_BACK,
    Event.STABLE_LOST: Phase.ROLLED_BACK,
    Event.CANDIDATE_LOST: Phase.ROLLED_BACK,
    Event.WITHDRAWN: Phase.ABORTED,
    Event.GATE_FAILED: Phase.ROLLED_BACK,
    Event.DEADLINE_EXCEEDED: Phase.ROLLED_BACK,
}
_AT_REST: Final = {
    Event.ROLLBACK_ASKED: Phase.ROLLED_BACK,
    Event.STABLE_LOST: Phase.ROLLED_BACK,
    Event.CANDIDATE_NAMED: Phase.EVALUATING,
}

TRANSITIONS: Final[Mapping[Phase, Mapping[Event, Phase]]] = MappingProxyType(
    {
        Phase.STABLE: {Event.ADOPTED: Phase.STABLE, **_AT_REST},
        Phase.EVALUATING: {
            Event.MIRROR_BEGINS: Phase.MIRRORING,
            Event.SHARE_GROWS: Phase.CANARY,
            **_RETURNS,
        },
        Phase.MIRRORING: {Event.SHARE_GROWS: Phase.CANARY, **_RETURNS},
        Phase.CANARY: {
            Event.SHARE_GROWS: Phase.CANARY,
            Event.LAST_STEP_PASSED: Phase.PROMOTED,
            **_RETURNS,
        },
        Phase.PROMOTED: _AT_REST,
        Phase.ROLLED_BACK: _AT_REST,
        Phase.ABORTED: _AT_REST,
    }
)

UNDER_A_HOLD: Final = frozenset(
    {
        Event.ROLLBACK_ASKED,
        Event.STABLE_LOST,
        Event.CANDIDATE_LOST,
        Event.WITHDRAWN,
        Event.GATE_FAILED,
        Event.ADOPTED,
    }
)
"""What a hold does not stop: every way back, and the first look at a new road."""

_ENTERED_BY: Final = {Phase.MIRRORING: Event.MIRROR_BEGINS, Phase.CANARY: Event.SHARE_GROWS}


def plan_of(policy: Policy) -> tuple[Step, ...]:
    """The steps of a release, in order."""
    mirror = policy.mirror
    steps = [Step(name="evaluate", phase=Phase.EVALUATING, deadline=policy.evaluate.deadline)]
    if mirror.percent:
        steps.append(
            Step(
                name="mirror",
                phase=Phase.MIRRORING,
                mirror=mirror.percent,
                duration=mirror.duration,
                deadline=mirror.deadline,
                hold=mirror.hold,
                gates=mirror.gates,
            )
        )
    steps.extend(
        Step(
            name=f"canary-{each.weight}",
            phase=Phase.CANARY,
            weight=each.weight,
            duration=each.duration,
            deadline=each.deadline,
            hold=each.hold,
            gates=each.gates,
        )
        for each in policy.canary
    )
    return tuple(steps)


def thresholds_of(policy: Policy, step: Step) -> Thresholds:
    """The road's as they are now, and over them those that the step began its release with."""
    return step.gates.over(policy.gates) if step.gates else policy.gates


def following(plan: tuple[Step, ...], name: str | None) -> Step | None:
    """The step after `name`; None after the last one."""
    names = [each.name for each in plan]
    place = names.index(name) + 1 if name in names else len(plan)
    return plan[place] if place < len(plan) else None


def entering(step: Step | None) -> Event:
    """The event that leads into a step; None is the end of the plan."""
    return Event.LAST_STEP_PASSED if step is None else _ENTERED_BY[step.phase]
