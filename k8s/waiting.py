"""How far a release has come, as a pipeline's jobs want to know it."""

from k8s.conditions import AWAITING_LEAVE
from k8s.errors import Refused
from k8s.phases import plan_of
from k8s.road import Road
from k8s.road.spec import PROMOTED


def has_passed(road: Road, version: str, step: str) -> bool:
    """Whether a version has passed a step; raises Refused where it never will.

    A step that waits only for leave to go on has passed as well.
    """
    status = road.status
    plan = status.plan if status.candidate == version else plan_of(road.spec.policy)
    names = [*(each.name for each in plan), PROMOTED]
    if step not in names:
        raise Refused(f"No step {step}; there is {', '.join(names)}.")
    if status.stable == version:
        return True
    if road.spec.candidate != version:
        raise Refused(f"{version} is not the road's candidate: {status.message or 'release it'}")
    if not status.under_way or status.candidate != version:
        for refusal in status.refused:
            if refusal.version == version and refusal.attempt >= road.spec.attempt:
                raise Refused(f"{version} was sent back: {refusal.reason}")
        return False
    here, there = names.index(status.step or ""), names.index(step)
    leave = any(each.type == AWAITING_LEAVE and each.status == "True" for each in status.conditions)
    return here > there or (here == there and leave)
