"""The road on a real API server: what it admits, and what survives a SIGKILL at any point."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster import rollbacks
from tests.cluster.kube import Cluster, Refused
from tests.cluster.roads import (
    PATIENCE_S,
    VERSIONS,
    Road,
    define,
    kept_alive,
    prometheus,
    road,
    until,
    version,
)

pytestmark = pytest.mark.timeout(1800)
PHASES = ("Evaluating", "Mirroring", "Canary", "Promoted", "RolledBack")
STEPS = ("evaluate", "mirror", "canary-1", "canary-10", "canary-50")


@pytest.fixture
def laid(namespace: Cluster) -> Iterator[Road]:
    """Not yet looked at by anybody."""
    with _laid(namespace) as road:
        yield road


@pytest.fixture
def walked(laid: Road) -> Iterator[Road]:
    """With a controller that has adopted v1."""
    with _adopted(laid):
        yield laid


@pytest.fixture(scope="module")
def guarded(shared_namespace: Cluster) -> Iterator[Road]:
    """Likewise, for tests that change nothing."""
    with _laid(shared_namespace) as road, _adopted(road):
        yield road


@contextmanager
def _laid(namespace: Cluster) -> Iterator[Road]:
    define(namespace)
    namespace.apply(*(each for name in VERSIONS for each in version(name)), road())
    with prometheus() as numbers:
        yield Road(namespace, numbers)


@contextmanager
def _adopted(laid: Road) -> Iterator[None]:
    with kept_alive(lambda: laid.controller("a")):
        until(lambda: laid.status.get("stable") == "v1" and bool(laid.shares), "v1")
        yield


def test_a_good_candidate_reaches_everybody_and_the_ledger_tells_it_whole(walked: Road) -> None:
    assert walked.glm("release", "v2").returncode == 0
    waited = walked.glm("wait", "promoted", "--version", "v2", "--timeout", str(PATIENCE_S))
    assert waited.returncode == 0, waited.stderr
    until(lambda: walked.shares == {"glm-v2": 100}, "v2 on the route")
    until(lambda: len(records(walked)) == walked.status["transitions"], "the ledger")
    assert [each["body"]["to"] for each in records(walked)] == [
        "Stable", "Evaluating", "Mirroring", "Canary", "Canary", "Canary", "Promoted",
    ]  # fmt: skip
    until(lambda: reasons(walked)[-1:] == ["LastStepPassed"], "the last Event")


def reasons(walked: Road) -> list[str]:
    return [each["reason"] for each in json.loads(walked.glm("events", "-o", "json").stdout)]


def records(walked: Road) -> list[dict[str, Any]]:
    return [json.loads(line) for line in walked.glm("history", "-o", "json").stdout.splitlines()]


def test_a_sick_candidate_is_sent_home_by_the_named_check(walked: Road) -> None:
    walked.numbers.sick.add("v2")
    walked.glm("release", "v2")
    walked.until("RolledBack")
    until(lambda: walked.shares == {"glm-v1": 100}, "v1 on the route")
    assert "success-rate" in walked.glm("why").stdout
    refused = walked.glm("release", "v3")
    assert refused.returncode == 1
    assert walked.status["hold"]["id"] in refused.stderr


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"candidate": "v9"}, "candidate must be one of versions"),
        ({"rollbackTo": "v3"}, "rollbackTo must be one of status.stables"),
        ({"versions": [{"name": "v2"}], "stable": "v2"}, "has traffic cannot be removed"),
        ({"policy": {"canary": [{"weight": 10}, {"weight": 5}]}}, "weights must rise"),
        ({"policy": {"canary": [{"weight": 100}]}}, "less than or equal to 99"),
        ({"policy": {"mirror": {"duration": "9m", "deadline": "1m"}}}, "must be longer than"),
        ({"policy": {"canary": [{"weight": 1, "duration": "2h"}]}}, "must be longer than"),
        ({"policy": {"canary": [{"weight": 1, "deadline": "5m"}]}}, "must be longer than"),
        ({"policy": {"evaluate": {"deadline": "0s"}}}, "deadline must be at least 1s"),
        ({"policy": {"settle": "2h"}}, "settle must be shorter than every deadline"),
        ({"policy": {"interval": "0s"}}, "interval must be from 1s to 5m"),
        ({"policy": {"gates": {"alpha": 0}}}, "alpha must be from"),
        ({"policy": {"canary": [{"weight": 1, "gates": {"alpha": 0}}]}}, "alpha must be from"),
        ({"policy": {"mirror": {"gates": {"slower": 0.5}}}}, r"mirror\.gates\.slower"),
        ({"policy": {"canary": [{"weight": 1, "gates": {"similarity": 0.5}}]}}, "in mirror.gates"),
        (
            {"policy": {"canary": [{"weight": 1, "hold": True}]}},
            "a step with a hold needs a deadline",
        ),
        (
            {"policy": {"mirror": {"percent": 0, "hold": True, "deadline": "12h"}}},
            "there is no mirror step to hold",
        ),
        ({"parentRefs": []}, "parentRefs"),
        ({"parentRefs": None}, "parentRefs"),
        ({"leave": {"version": "v2", "attempt": 1}}, r"leave\.step"),
        ({"policy": {"keep": 1, "warm": 2}}, "some of those that are kept"),
        ({"policy": {"warm": 0, "warmReplicas": 2}}, "this policy keeps none warm"),
        ({"policy": {"keep": 0, "warmReplicas": 2}}, "this policy keeps none warm"),
        ({"policy": {"warmReplicas": 0}}, "warmReplicas"),
        ({"policy": {"mirror": {"service": "Not A Name"}}}, r"mirror\.service"),
        ({"hostnames": ["not a host!"]}, r"hostnames\[0\]"),
        ({"attempt": 0}, "attempt"),
        ({"versions": [{"name": "V1"}], "stable": "V1"}, r"versions\[0\]\.name"),
        ({"advanceTo": "canary-7"}, "advanceTo must be"),
        ({"policy": {"interval": "soon"}}, "interval"),
    ],
)
def test_nonsense_is_refused_in_words(guarded: Road, wish: dict[str, Any], told: str) -> None:
    with pytest.raises(Refused, match=told):
        guarded.wish(**wish)


def test_a_look_with_kubectl_tells_where_a_road_is(guarded: Road) -> None:
    head, line = guarded.cluster.kubectl("get", "modelroads").splitlines()
    assert head.split() == ["NAME", "PHASE", "STEP", "STABLE", "CANDIDATE", "SHARE", "HELD", "AGE"]
    assert line.split()[:4] == ["glm", "Stable", "v1", "False"]


def test_a_transition_that_is_not_in_the_table_is_refused(guarded: Road) -> None:
    patch = json.dumps({"status": {"phase": "Promoted"}})
    with pytest.raises(Refused, match="no such transition"):
        guarded.cluster.kubectl(
            *("patch", "modelroad", "glm", "--subresource=status", "--type=merge"),
            f"--patch={patch}",
        )


def test_a_second_pipeline_is_told_of_the_first(walked: Road) -> None:
    walked.glm("release", "v2", "--advance-to", "mirror")
    walked.until("Mirroring")
    assert "v2 is under way" in walked.glm("release", "v3").stderr
    with pytest.raises(Refused, match="another release is under way"):
        walked.wish(candidate="v3")


def test_a_second_pipeline_is_told_of_a_first_at_which_nobody_has_looked(laid: Road) -> None:
    laid.wish(candidate="v2")
    with pytest.raises(Refused, match="another release waits to begin"):
        laid.wish(candidate="v3")
    laid.wish(candidate="v2", requestedBy="the same once more")
    laid.wish(candidate=None)
    laid.wish(candidate="v3")


def test_a_route_that_somebody_edited_follows_the_road_again(walked: Road) -> None:
    patch = json.dumps(
        [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1}]
    )
    walked.cluster.kubectl("patch", "httproute", "glm", "--type=json", f"--patch={patch}")
    until(lambda: walked.shares == {"glm-v1": 100}, "the weights of the road")
    until(lambda: "RouteRestored" in reasons(walked), "the Event")


@pytest.mark.parametrize("act", ["status-written", "route-written", "recorded"])
def test_a_controller_killed_in_every_phase_leaves_the_right_end(laid: Road, act: str) -> None:
    fault = ",".join(f"{phase}:{act}" for phase in PHASES)
    with kept_alive(lambda: laid.controller("a", fault)) as codes:
        until(lambda: laid.status.get("stable") == "v1", "v1")
        laid.glm("release", "v2")
        laid.until("Promoted")
        until(lambda: laid.shares == {"glm-v2": 100}, "v2 on the route")
        laid.wish(rollbackTo="v1")
        laid.until("RolledBack")
        until(lambda: laid.shares == {"glm-v1": 100}, "v1 on the route")
        until(lambda: len(records(laid)) == laid.status["transitions"], "the ledger")
        until(lambda: codes.count(-signal.SIGKILL) == laid.status["transitions"] - 1, "the deaths")


def test_another_controller_takes_over_from_one_that_was_killed(laid: Road) -> None:
    first = laid.controller("a")
    until(lambda: laid.status.get("stable") == "v1", "v1")
    second = laid.controller("b")
    try:
        first.kill()
        first.wait()
        laid.glm("release", "v2")
        laid.until("Promoted")
        lease = laid.cluster.get("lease", "glm-road-controller")
        assert lease["spec"]["holderIdentity"] == "b"
    finally:
        second.terminate()
        second.wait()


def test_a_rollback_amid_any_step_takes_a_second_but_for_one_stall(
    walked: Road,
) -> None:
    """From the wish to the weights on the route; the controller is awake all the time."""
    walked.glm("release", "v2", "--advance-to", STEPS[0])
    took = []
    for number, step in enumerate(STEPS):
        until(lambda step=step: walked.status.get("step") == step, step)  # type: ignore[misc]
        told = walked.glm("rollback", "--to", "v1", "-o", "json")
        assert told.returncode == 0, told.stderr
        took.append(json.loads(told.stdout)["seconds"])
        assert walked.shares == {"glm-v1": 100}
        if number + 1 < len(STEPS):
            hold = walked.status["hold"]["id"]
            words = ("--again", "--override-hold", hold, "--advance-to", STEPS[number + 1])
            assert walked.glm("release", "v2", *words).returncode == 0
    assert rollbacks.are_quick_but_for_a_stall(took), took
