"""Which versions keep their pods, as the road's roles say."""

from collections.abc import Collection
from dataclasses import dataclass

from k8s.road import Road, Role

_AWAKE = frozenset({Role.STABLE, Role.CANDIDATE, Role.WARM})


@dataclass(frozen=True, slots=True)
class Plan:
    """Names of versions, oldest first."""

    wake: tuple[str, ...] = ()
    suspend: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    """Retired ones, of which nothing is left afterwards."""


def plan(road: Road, installed: Collection[str], suspended: Collection[str]) -> Plan:
    """What has to change; a version that users may meet, or are led to, is never touched.

    One that is new has not been asked for yet: it is somebody's who has just deployed it.
    """
    wanted = road.spec.rollback_to  # the controller may not have seen that yet
    states = [
        each
        for each in road.status.versions
        if each.role in _AWAKE or not (each.weight or each.name == wanted)
    ]
    there = [each for each in states if each.name in installed]
    retired = tuple(each.name for each in states if each.role is Role.RETIRED)
    return Plan(
        wake=tuple(e.name for e in there if e.role in _AWAKE and e.name in suspended),
        suspend=tuple(e.name for e in there if e.role is Role.COLD and e.name not in suspended),
        remove=tuple(name for name in retired if name in installed),
        forget=retired,
    )


def asleep(road: Road, installed: Collection[str], suspended: Collection[str]) -> tuple[str, ...]:
    """Cold ones that sleep and may be woken for a while, oldest first."""
    cold = plan(road, installed, ()).suspend
    return tuple(each for each in cold if each in suspended)
