"""What a command writes into the spec, and when it must not.

A pipeline, a person and a test mean the same by a word, for all of them ask here. A wish is a
merge patch of the spec; None removes a field.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from k8s.conditions import AWAITING_LEAVE
from k8s.errors import Refused
from k8s.phases import plan_of
from k8s.road import Road, Role, Step, Version
from k8s.road.order import Order, attempt, versions_with, well_formed
from k8s.road.resource import render_spec
from k8s.road.spec import PROMOTED

Wish = Mapping[str, Any]


def release(road: Road, order: Order) -> Wish:
    """Bring a version on its way."""
    status, name = road.status, order.version.name
    _known(order.advance_to, plan_of(road.spec.policy))
    well_formed(order.version)
    _unheld(road, order.override_hold, f"release {name} --override-hold")
    if status.stable is None:
        raise Refused("The road has no stable version yet; wait until its Service is there.")
    if name == status.stable:
        raise Refused(f"{name} is the stable version already.")
    _alone(road, name)
    if status.kept(name):
        raise Refused(f"{name} was stable before; go back to it: kubectl glm rollback --to {name}")
    versions = versions_with(road.spec, order.version)
    _evaluable(road, next(each for each in versions if each.name == name))
    return {
        "versions": render_spec(replace(road.spec, versions=versions))["versions"],
        "stable": status.stable,
        "candidate": name,
        "attempt": attempt(road, order),
        "advanceTo": order.advance_to,
        "requestedBy": order.by,
        "rollbackTo": None,
        **({"liftHold": order.override_hold} if order.override_hold else {}),
    }


def _alone(road: Road, name: str) -> None:
    """One release at a time; the same one may be asked for again until it begins."""
    status, asked = road.status, asked_for(road)
    if status.under_way or asked not in {None, name}:
        place = status.step if status.under_way else "it waits to begin"
        raise Refused(
            f"{asked} is under way ({place}). Wait for its end, or abort it: kubectl glm abort"
        )


def _evaluable(road: Road, version: Version) -> None:
    """A report counts for a model, so the road must know which."""
    if road.spec.policy.evaluate.required and not version.model_digest:
        raise Refused(f"{version.name} needs --model-digest sha256:..., for it is evaluated.")


def has_begun(road: Road, order: Order) -> bool:
    """Whether just that is on its way already: a job that a runner lost is run again.

    Raises Refused where it is on its way, but not as far as is asked now.
    """
    version, status = order.version, road.status
    known = status.under_way and status.candidate == version.name
    if not known or road.spec.version(version.name) not in versions_with(road.spec, version):
        return False
    _known(order.advance_to, status.plan)
    names = [*(each.name for each in status.plan), PROMOTED]
    places = {name: place for place, name in enumerate(names)}
    if places.get(road.spec.advance_to, -1) < places[order.advance_to]:
        raise Refused(
            f"{version.name} is on its way already, but as far as {road.spec.advance_to} only. "
            f"To let it go on: kubectl glm promote --to {order.advance_to}"
        )
    return True


def promote(road: Road, to: str, override_hold: str | None = None, only: str | None = None) -> Wish:
    """Allow the steps up to one; the gates still decide when. `only` if that is the candidate."""
    status = road.status
    if only not in {None, status.candidate}:
        raise Refused(f"{only} is not under way: {status.message}")
    if not status.under_way:
        raise Refused(_nothing_under_way(road))
    _unheld(road, override_hold, "promote --override-hold")
    _known(to, status.plan)
    lift = {"liftHold": override_hold} if override_hold else {}
    return {"advanceTo": to, **lift}


def is_past(road: Road, to: str) -> bool:
    """Whether the candidate is further than that step already: a lost job is run again."""
    names = [*(each.name for each in road.status.plan), PROMOTED]
    step = road.status.step
    return step in names and to in names and names.index(to) < names.index(step)


def pause(reason: str, by: str) -> Wish:
    """Let nothing go forward until somebody resumes."""
    return {"hold": {"reason": reason, "by": by}}


def resume(road: Road, hold: str | None = None, by: str = "") -> Wish:
    """Lift a person's hold; the road's own, and that of a step, only by its id."""
    standing, step = road.status.hold, road.status.current_step()
    if step and step.hold and hold == step.name:
        return {"leave": _leave(road, step, by)}
    lifted = standing is not None and road.spec.lift_hold == standing.id
    if standing and not lifted and hold != standing.id:
        raise Refused(
            f"{standing.id} holds the road: {standing.reason}. "
            f"To lift it: kubectl glm resume --hold {standing.id}"
        )
    if road.spec.hold is None and standing is None and road.spec.rollback_to is None:
        raise Refused(_nothing_holds(step))
    lift = {"liftHold": hold} if hold else {}
    return {"hold": None, "rollbackTo": None, **lift}


def _leave(road: Road, step: Step, by: str) -> Wish:
    """Not before there is something to judge by."""
    status = road.status
    if not any(each.type == AWAITING_LEAVE and each.status == "True" for each in status.conditions):
        raise Refused(f"{step.name} is not over yet: {status.message}")
    return {"version": status.candidate, "attempt": status.attempt, "step": step.name, "by": by}


def _nothing_holds(step: Step | None) -> str:
    if step and step.hold:
        return (
            f"The hold of {step.name} is lifted by its name: kubectl glm resume --hold {step.name}"
        )
    return "Nothing holds the road."


def abort(road: Road, by: str) -> Wish:
    """Take the candidate back, begun or not; everybody is on the stable version."""
    if asked_for(road) is None or road.status.stable is None:
        raise Refused(_nothing_under_way(road))
    return {"candidate": None, "stable": road.status.stable, "requestedBy": by}


def asked_for(road: Road) -> str | None:
    """The candidate on its way, or the one that waits to begin."""
    spec, status = road.spec, road.status
    if status.under_way:
        return status.candidate
    over = {status.stable, *(e.version for e in status.refused if e.attempt >= spec.attempt)}
    return None if spec.candidate in over else spec.candidate


def rollback(road: Road, to: str | None, by: str) -> Wish:
    """Go back at once: to the stable version while a candidate is under way, else one further."""
    status = road.status
    kept = [each.version for each in status.stables]
    former = kept[:1] if status.under_way else kept[1:2]
    target = to or next(iter(former), None)
    if target is None:
        raise Refused("There is nowhere to go back to: no former version is kept.")
    if target not in kept:
        raise Refused(f"{target} is not kept; there is {', '.join(kept) or 'none yet'}.")
    if target == status.stable and not status.under_way:
        raise Refused(f"{target} has all traffic already.")
    return {"rollbackTo": target, "requestedBy": by}


def forget(road: Road, names: Collection[str]) -> Wish:
    """Take retired versions out of the spec, which has room for few; the ledger keeps them."""
    roles = {each.name: each.role for each in road.status.versions}
    for name in names:
        if name not in roles:
            raise Refused(f"The road knows no {name}; there is {', '.join(roles) or 'none yet'}.")
        if roles[name] is not Role.RETIRED:
            raise Refused(f"{name} is {roles[name]}; only retired versions can go.")
    versions = tuple(each for each in road.spec.versions if each.name not in names)
    gone = {"candidate": None} if road.spec.candidate in names else {}
    return {"versions": render_spec(replace(road.spec, versions=versions))["versions"], **gone}


def _unheld(road: Road, override: str | None, how: str) -> None:
    pause, hold = road.spec.hold, road.status.hold
    if pause:
        raise Refused(
            f"{pause.by or 'Somebody'} paused the road: {pause.reason or 'no reason given'}. "
            "First: kubectl glm resume"
        )
    if hold and hold.id not in {override, road.spec.lift_hold}:
        raise Refused(
            f"{hold.id} holds the road: {hold.reason}. To go on: kubectl glm {how} {hold.id}"
        )


def _nothing_under_way(road: Road) -> str:
    if road.status.stable is None:
        return "Nothing is under way; no controller has looked at this road yet."
    return f"Nothing is under way; {road.status.stable} has all traffic."


def _known(step: str, plan: Collection[Step]) -> None:
    names = [*(each.name for each in plan), PROMOTED]
    if step not in names:
        raise Refused(f"No step {step}; there is {', '.join(names)}.")
