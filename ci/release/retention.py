"""Which versions keep their pods, as the road's roles say."""

from collections.abc import Collection
from dataclasses import dataclass

from k8s.road import Role, Status

_AWAKE = frozenset({Role.STABLE, Role.CANDIDATE, Role.WARM})


@dataclass(frozen=True, slots=True)
class Plan:
    """Names of versions, oldest first."""

    wake: tuple[str, ...] = ()
    suspend: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    """Retired ones, of which nothing is left afterwards."""


def plan(status: Status, installed: Collection[str], suspended: Collection[str]) -> Plan:
    """What has to change; a version that users may meet is never touched.

    One that is new has not been asked for yet: it is somebody's who has just deployed it.
    """
    states = [each for each in status.versions if not each.weight or each.role in _AWAKE]
    there = [each for each in states if each.name in installed]
    retired = tuple(each.name for each in states if each.role is Role.RETIRED)
    return Plan(
        wake=tuple(e.name for e in there if e.role in _AWAKE and e.name in suspended),
        suspend=tuple(e.name for e in there if e.role is Role.COLD and e.name not in suspended),
        remove=tuple(name for name in retired if name in installed),
        forget=retired,
    )
