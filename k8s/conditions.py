"""The status as Kubernetes' tools and a reader of `kubectl get` want it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from k8s.road import Condition, Outcome, Role, Spec, Status, VersionState
from k8s.rules import Observed, awaits_leave, holding

AWAITING_LEAVE: Final = "AwaitingLeave"
"""The step is over, yet `advanceTo` or its own hold lets no further one begin."""

ROUTED: Final = "Routed"
"""Every gateway that the road names has taken its route."""
_VALUES: Final = MappingProxyType({True: "True", False: "False", None: "Unknown"})


def versions_of(status: Status, spec: Spec, ready: Mapping[str, int]) -> tuple[VersionState, ...]:
    """Every version of the spec, in its order."""
    return tuple(
        VersionState(
            name=each.name,
            role=role_of(status, spec, each.name),
            weight=status.weight(each.name),
            ready=ready.get(each.name, 0),
        )
        for each in spec.versions
    )


def role_of(status: Status, spec: Spec, version: str) -> Role:
    """A version of two roles has the first; where users are led back to is no time to sleep."""
    if version == status.stable:
        return Role.STABLE
    if status.under_way and version == status.candidate:
        return Role.CANDIDATE
    kept = [each.version for each in status.stables[1:]]
    if version in kept:
        warm = version == spec.target or kept.index(version) < spec.policy.warm
        return Role.WARM if warm else Role.COLD
    gone = {*status.retired, *(each.version for each in status.refused)}
    return Role.RETIRED if version in gone else Role.NEW


def conditions_of(observed: Observed) -> tuple[Condition, ...]:
    """In Kubernetes' manner, a time changes only with its status."""
    status = observed.status
    now_true: dict[str, bool | None] = {
        "Ready": bool(status.stable and observed.ready.get(status.stable)),
        "Progressing": status.under_way,
        "GatesPassing": bool(status.verdicts)
        and all(each.outcome is Outcome.PASS for each in status.verdicts),
        "Held": holding(observed) is not None,
        AWAITING_LEAVE: status.under_way and awaits_leave(observed),
        ROUTED: observed.routed,
    }
    return tuple(_condition(observed, kind, _VALUES[yes]) for kind, yes in now_true.items())


def _condition(observed: Observed, kind: str, value: str) -> Condition:
    status = observed.status
    before = next((each for each in status.conditions if each.type == kind), None)
    unchanged = before is not None and before.status == value
    return Condition(
        type=kind,
        status=value,
        reason=str(status.phase),
        message=holding(observed) or "" if kind == "Held" else status.message,
        last_transition_time=before.last_transition_time if before and unchanged else observed.now,
        observed_generation=observed.road.generation,
    )
