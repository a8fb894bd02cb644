"""Which versions keep their pods, and how many, as the road's roles and its policy say."""

from collections.abc import Mapping
from dataclasses import dataclass

from k8s.road import Road, Role

_AWAKE = frozenset({Role.STABLE, Role.CANDIDATE, Role.WARM})


@dataclass(frozen=True, slots=True)
class Pods:
    """What a version's values say of its pods."""

    suspended: bool = False
    """It has none, on purpose."""
    own: int = 1
    """Model replicas at least, by its own values."""
    kept: int = 0
    """And by its road's policy, as it was written there last."""
    done: bool = True
    """Whether that writing came to its end; else nobody knows what is there."""

    def follow(self, replicas: int) -> bool:
        """Whether to write that number there would change nothing."""
        return self.done and max(self.own, self.kept) == max(self.own, replicas)


@dataclass(frozen=True, slots=True)
class Plan:
    """Names of versions, oldest first."""

    wake: tuple[str, ...] = ()
    suspend: tuple[str, ...] = ()
    resize: tuple[str, ...] = ()
    """Warm ones that hold other than what the policy asks of them."""
    remove: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    """Retired ones, of which nothing is left afterwards."""


def plan(road: Road, pods: Mapping[str, Pods]) -> Plan:
    """What has to change; a version that users may meet, or are led to, is never touched.

    One that is new has not been asked for yet: it is somebody's who has just deployed it. Who is
    not among `pods` is not installed.
    """
    wanted = road.spec.rollback_to  # the controller may not have seen that yet
    states = road.status.versions
    idle = [each for each in states if not (each.weight or each.name == wanted)]
    awake = [e.name for e in states if e.role in _AWAKE and e.name in pods]
    cold = [e.name for e in idle if e.role is Role.COLD and e.name in pods]
    warm = [e.name for e in idle if e.role is Role.WARM and e.name in pods]
    retired = tuple(e.name for e in idle if e.role is Role.RETIRED)
    replicas = road.spec.policy.warm_replicas
    return Plan(
        wake=tuple(name for name in awake if pods[name].suspended),
        suspend=tuple(name for name in cold if not (pods[name].suspended and pods[name].done)),
        resize=tuple(
            name for name in warm if not (pods[name].suspended or pods[name].follow(replicas))
        ),
        remove=tuple(name for name in retired if name in pods),
        forget=retired,
    )


def asleep(road: Road, pods: Mapping[str, Pods]) -> tuple[str, ...]:
    """Cold ones that sleep and may be woken for a while, oldest first."""
    cold = plan(road, {name: Pods() for name in pods}).suspend
    return tuple(name for name in cold if pods[name].suspended)


def replicas_of(road: Road, version: str) -> int:
    """What the policy asks of a version; 0 where its own values alone count."""
    roles = {each.name: each.role for each in road.status.versions}
    warm = roles.get(version) is Role.WARM and version != road.spec.rollback_to
    return road.spec.policy.warm_replicas if warm else 0
