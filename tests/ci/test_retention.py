"""Pods follow roles, and nobody who has users is touched."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.release.retention import Plan, Pods, plan, replicas_of
from k8s.road import Policy, Road, Role, Status, VersionState
from tests.release.roads import road_of, spec_of

NAMES = tuple(f"v{number}" for number in range(40, 46))


def pods(*suspended: str) -> dict[str, Pods]:
    """All are installed; those named have none."""
    return {name: Pods(suspended=name in suspended) for name in NAMES}


def road(**roles: Role) -> Road:
    """The stable version has all traffic."""
    states = (
        VersionState(name=name, role=role, weight=100 if role is Role.STABLE else 0, ready=1)
        for name, role in roles.items()
    )
    return road_of(status=Status(versions=tuple(states)))


def test_warm_ones_stay_cold_ones_sleep_and_retired_ones_go() -> None:
    found = road(
        v40=Role.RETIRED, v41=Role.COLD, v42=Role.WARM, v43=Role.STABLE, v44=Role.NEW
    )  # fmt: skip

    assert plan(found, pods()) == Plan(suspend=("v41",), remove=("v40",), forget=("v40",))


def test_a_version_that_became_warm_again_is_woken() -> None:
    found = road(v41=Role.WARM, v42=Role.STABLE)

    assert plan(found, pods("v41")) == Plan(wake=("v41",))


def test_one_whose_sleep_helm_did_not_bring_to_its_end_is_told_to_sleep_again() -> None:
    found = road(v41=Role.COLD, v43=Role.STABLE)

    assert plan(found, {"v41": Pods(suspended=True, done=False)}) == Plan(suspend=("v41",))


def test_what_is_as_it_should_be_is_left_alone() -> None:
    found = road(v41=Role.COLD, v42=Role.WARM, v43=Role.STABLE)

    assert plan(found, pods("v41")) == Plan()


def test_a_retired_version_that_is_gone_is_only_forgotten() -> None:
    found = road(v40=Role.RETIRED, v43=Role.STABLE)

    assert plan(found, {"v43": Pods()}) == Plan(forget=("v40",))


@pytest.mark.parametrize("role", [Role.COLD, Role.RETIRED])
def test_where_somebody_goes_back_to_is_left_alone_before_the_controller_has_seen_it(
    role: Role,
) -> None:
    found = road(v41=role, v43=Role.STABLE)
    assert plan(found, pods()) != Plan()

    asked = replace(found, spec=spec_of(rollback_to="v41"))
    assert plan(asked, pods()) == Plan()


def asked_for(replicas: int, **roles: Role) -> Road:
    return replace(road(**roles), spec=spec_of(policy=Policy(warm_replicas=replicas)))


@pytest.mark.parametrize(
    ("held", "resized"),
    [
        (Pods(own=1), True),
        (Pods(own=3), False),  # as many as asked
        (Pods(own=8), False),  # its own values ask for more
        (Pods(own=1, kept=3), False),  # done before
        (Pods(own=1, kept=3, done=False), True),  # written, but Helm's words failed
        (Pods(own=1, kept=5), True),  # the policy has become smaller
        (Pods(own=1, suspended=True), False),  # it is woken with as many
    ],
)
def test_a_warm_version_holds_as_many_replicas_as_the_policy_asks(
    held: Pods, *, resized: bool
) -> None:
    found = asked_for(3, v42=Role.WARM, v43=Role.STABLE)

    assert ("v42" in plan(found, {"v42": held, "v43": Pods()}).resize) is resized
    assert replicas_of(found, "v42") == 3


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.WARM}))
def test_only_warm_versions_follow_the_policy(role: Role) -> None:
    """Who has users keeps its pods and its own values."""
    found = asked_for(3, v42=role)

    assert plan(found, {"v42": Pods(kept=5)}).resize == ()
    assert replicas_of(found, "v42") == 0


def test_no_pods_are_replaced_where_somebody_goes_back_to() -> None:
    found = asked_for(3, v42=Role.WARM, v43=Role.STABLE)
    back = replace(found, spec=replace(found.spec, rollback_to="v42"))

    assert plan(back, pods()).resize == ()
    assert replicas_of(back, "v42") == 0


roles = st.fixed_dictionaries(
    {}, optional={name: st.tuples(st.sampled_from(Role), st.integers(0, 100)) for name in NAMES}
)


@given(roles, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_whoever_has_users_keeps_its_pods(
    given_roles: dict[str, Any], installed: set[str], suspended: set[str]
) -> None:
    states = tuple(
        VersionState(name=name, role=role, weight=weight, ready=1)
        for name, (role, weight) in given_roles.items()
    )
    made = plan(
        road_of(status=Status(versions=states)),
        {name: Pods(suspended=name in suspended) for name in installed},
    )

    gone = {*made.suspend, *made.resize, *made.remove, *made.forget}
    assert gone.isdisjoint(each.name for each in states if each.weight)
    assert {*made.suspend, *made.remove, *made.resize, *made.wake} <= installed
    assert set(made.remove) <= set(made.forget)
