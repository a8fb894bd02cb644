"""Objects as the API server speaks them, over HTTP."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from k8s.clocks import Clocks
from k8s.cluster import Cluster, Rest
from k8s.cluster.rest import ROADS, lines
from k8s.controller import Controller
from k8s.errors import BrokenLedger, Conflict, Refused, Unreachable
from k8s.lease import Claim
from k8s.ledger import verify
from k8s.reports import Summary
from k8s.road import Outcome, Verdict
from k8s.sampler import Sampler
from tests.release.api_server import NAMESPACE, Shelf
from tests.release.worlds import AtOnce, World

MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


@pytest.fixture
def controller(cluster: Cluster) -> Controller:
    def sampler() -> Sampler:
        return Sampler(World(), AtOnce(), lambda: 0.0, lambda: None)

    return Controller(cluster, sampler, Clocks(lambda: 1.7e9, lambda: 0.0))


def test_a_road_is_brought_on_its_way(cluster: Cluster, controller: Controller) -> None:
    controller.reconcile("glm")
    cluster.wish("glm", {"candidate": "v2"}, "test")
    controller.reconcile("glm")
    road = cluster.road("glm")
    assert road is not None
    assert road.status.step == "evaluate"
    route = cluster.route("glm")
    assert route is not None
    backends = route["spec"]["rules"][0]["backendRefs"]
    assert {each["name"]: each["weight"] for each in backends} == {"glm-v1": 100, "glm-v2": 0}
    assert [each["reason"] for each in cluster.events("glm")] == ["Adopted", "CandidateNamed"]
    assert [each.number for each in cluster.records("glm")] == [1, 2]
    verify(cluster.records("glm"))


def test_a_look_that_finds_everything_in_line_writes_nothing(
    shelf: Shelf, controller: Controller
) -> None:
    controller.reconcile("glm")
    controller.reconcile("glm")
    before = shelf.revision
    controller.reconcile("glm")
    assert shelf.revision == before


def test_only_ready_endpoints_count_and_only_of_services_that_are_there(cluster: Cluster) -> None:
    assert cluster.ready(["v1", "v2", "v3"]) == {"v1": 1, "v2": 1}


def ended(at: str) -> dict[str, object]:
    return {"restartCount": 3, "lastState": {"terminated": {"finishedAt": at}}}


def test_restarts_are_those_of_all_containers_since_then(cluster: Cluster, shelf: Shelf) -> None:
    never = {"restartCount": 0, "lastState": {}}
    containers = [ended("1970-01-01T00:01:39Z"), ended("1970-01-01T00:01:40Z"), never]
    shelf.place(
        "/api/v1/namespaces/{namespace}/pods",
        "glm-v2-head",
        labels={"glm-serve.io/version": "v2"},
        status={"containerStatuses": containers},
    )
    assert cluster.restarts("v2", 100.0) == 1
    assert cluster.restarts("v2", 99.0) == 2
    assert cluster.restarts("v1", 99.0) == 0


CRASHING = {
    "name": "glm",
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
}
PULLING = {"name": "glm", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such"}}}
STARTING = {"name": "glm", "state": {"waiting": {"reason": "ContainerCreating"}}}
BACK = {**CRASHING, "state": {"running": {"startedAt": "2026-11-21T00:00:00Z"}}}
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
FULL = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: 3 Insufficient gpu."}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"containerStatuses": [CRASHING]}, ["glm ended with 1 (Error)"]),
        ({"initContainerStatuses": [PULLING]}, ["glm: ErrImagePull: no such"]),
        ({"conditions": [FULL]}, ["0/3 nodes: 3 Insufficient gpu."]),
        ({"containerStatuses": [STARTING]}, []),
        ({"containerStatuses": [BACK]}, []),  # it runs again
        (EVICTED, ["Evicted: The node was low on memory."]),
        ({}, []),
    ],
)
def test_pods_that_do_not_run_say_why(
    cluster: Cluster, shelf: Shelf, status: dict[str, Any], said: list[str]
) -> None:
    for pod in ("glm-v2-head", "glm-v2-worker"):
        labels = {"glm-serve.io/version": "v2"}
        shelf.place("/api/v1/namespaces/{namespace}/pods", pod, labels=labels, status=status)

    assert list(cluster.troubles("v2")) == said
    assert not cluster.troubles("v1")


def controller_pod(shelf: Shelf, **state: object) -> None:
    shelf.place(
        "/api/v1/namespaces/{namespace}/pods",
        "glm-controller-a",
        labels={"app.kubernetes.io/component": "controller"},
        status={"containerStatuses": [{"state": state}]},
    )


def test_a_pod_that_was_alive_has_ended_when_its_container_has(
    cluster: Cluster, shelf: Shelf
) -> None:
    controller_pod(shelf, running={})
    assert not cluster.has_ended("glm-controller-a")
    controller_pod(shelf, terminated={})
    assert cluster.has_ended("glm-controller-a")
    controller_pod(shelf, running={})
    assert not cluster.has_ended("glm-controller-a")


def test_of_a_holder_that_is_no_pod_nothing_is_known(cluster: Cluster, shelf: Shelf) -> None:
    controller_pod(shelf, waiting={})
    assert not cluster.has_ended("glm-controller-a")
    assert not cluster.has_ended("somebody-s-laptop")


def test_a_status_from_an_outdated_road_is_refused(cluster: Cluster) -> None:
    road = cluster.road("glm")
    assert road is not None
    cluster.write_status(road, replace(road.status, message="first"))
    with pytest.raises(Conflict):
        cluster.write_status(road, replace(road.status, message="second"))


def test_a_route_that_changed_since_it_was_read_is_not_overwritten(
    cluster: Cluster, controller: Controller
) -> None:
    controller.reconcile("glm")
    live = cluster.route("glm")
    assert live is not None
    cluster.write_route(live, live)
    with pytest.raises(Conflict):
        cluster.write_route(live, live)


def test_a_record_is_written_once(cluster: Cluster, controller: Controller, shelf: Shelf) -> None:
    controller.reconcile("glm")
    (record,) = cluster.records("glm")
    cluster.append("glm", replace(record, body={"forged": True}))
    assert cluster.records("glm") == [record]
    assert shelf.objects[f"{MAPS}/glm-ledger-000001"]["immutable"] is True


def test_what_only_has_the_name_of_the_next_record_is_told(
    cluster: Cluster, controller: Controller, shelf: Shelf
) -> None:
    shelf.put(f"{MAPS}/glm-ledger-000001", {"metadata": {"name": "glm-ledger-000001"}})
    with pytest.raises(BrokenLedger, match="glm-ledger-000001 has the name of the next record"):
        controller.reconcile("glm")
    del shelf.objects[f"{MAPS}/glm-ledger-000001"]
    controller.reconcile("glm")
    assert len(cluster.records("glm")) == 1


def test_a_record_that_was_changed_in_the_cluster_is_found(
    cluster: Cluster, controller: Controller, shelf: Shelf
) -> None:
    controller.reconcile("glm")
    held = shelf.objects[f"{MAPS}/glm-ledger-000001"]["data"]
    held["record"] = held["record"].replace("Adopted", "Adapted")
    with pytest.raises(BrokenLedger):
        cluster.records("glm")


def test_an_evaluation_is_kept_and_replaced(cluster: Cluster) -> None:
    verdict = Verdict(check="bleu", outcome=Outcome.PASS, message="as before", candidate=31.5)
    summary = Summary(version="v2", digest="a", verdicts=(verdict,))
    cluster.write_summary(summary)
    cluster.write_summary(replace(summary, digest="b"))
    assert cluster.summary("v2") == replace(summary, digest="b")
    assert cluster.summary("v1") is None


def test_a_lease_is_taken_by_one_of_two(cluster: Cluster) -> None:
    assert cluster.claim("lease") is None
    first = Claim(holder="a", renewed="2026-11-21T00:00:00.000000Z")
    cluster.write_claim("lease", first, 15.0)
    with pytest.raises(Conflict):
        cluster.write_claim("lease", replace(first, holder="b"), 15.0)
    standing = cluster.claim("lease")
    assert standing is not None
    assert standing.holder == "a"


def test_a_wish_that_admission_refuses_is_told_in_its_words(cluster: Cluster, shelf: Shelf) -> None:
    shelf.refusal = {"message": "candidate must be one of versions"}
    with pytest.raises(Refused, match="candidate must be"):
        cluster.wish("glm", {"candidate": "v9"}, "test")


def test_a_wish_of_somebody_who_looked_too_long_ago_is_refused(cluster: Cluster) -> None:
    with pytest.raises(Conflict):
        cluster.wish("glm", {"candidate": "v2"}, "test", "0")


def test_a_server_that_knows_no_roads_has_none_only_for_who_says_so(
    cluster: Cluster, shelf: Shelf
) -> None:
    """A controller that meets such a server tells it; a command goes on to say what to do."""
    shelf.objects = {}
    assert cluster.road_names(unknown_ok=True) == []
    with pytest.raises(Refused):
        cluster.road_names()


def test_an_api_server_that_is_gone_is_told_as_such(shelf: Shelf, cluster: Cluster) -> None:
    shelf.shutdown()
    shelf.server_close()
    with pytest.raises(Unreachable):
        cluster.road("glm")


def test_a_server_of_another_tongue_does_not_answer(shelf: Shelf) -> None:
    """Whoever speaks TLS to one without is told why."""
    made = client.Configuration(host=f"https://127.0.0.1:{shelf.server_address[1]}")
    made.retries = False
    with pytest.raises(Unreachable, match=r"^The API server does not answer \(.*SSL"):
        Rest(client.ApiClient(made), NAMESPACE).list(ROADS)


def test_who_is_not_known_is_told_so(shelf: Shelf, cluster: Cluster) -> None:
    shelf.stranger = True
    with pytest.raises(Unreachable, match="does not know you"):
        cluster.road("glm")


def turns(cluster: Cluster) -> int:
    return len(list(cluster.changes()))


def test_a_watch_tells_of_what_is_there_and_the_next_one_does_not_tell_it_again(
    cluster: Cluster,
) -> None:
    assert turns(cluster) == 1
    assert turns(cluster) == 0


def test_a_wish_between_two_watches_is_told_by_the_next(cluster: Cluster) -> None:
    turns(cluster)
    cluster.wish("glm", {"candidate": "v2"}, "test")
    assert turns(cluster) == 1


@pytest.mark.parametrize(
    ("more", "told"), [({"message": "still waiting"}, 0), ({"transitions": 1}, 1)]
)
def test_of_what_a_controller_writes_a_watch_tells_the_moves_and_not_the_numbers(
    cluster: Cluster, more: dict[str, Any], told: int
) -> None:
    turns(cluster)
    road = cluster.road("glm")
    assert road is not None
    cluster.write_status(road, replace(road.status, **more))
    assert turns(cluster) == told


def test_a_road_that_went_is_told_of_once_and_another_one_of_its_name_too(
    cluster: Cluster, shelf: Shelf
) -> None:
    ((path, road),) = [each for each in shelf.objects.items() if "/modelroads/" in each[0]]
    turns(cluster)
    shelf.news = [{"type": "DELETED", "object": shelf.objects.pop(path)}] * 2
    assert turns(cluster) == 1
    shelf.news = []
    shelf.put(path, road)
    assert turns(cluster) == 1


def test_a_watch_that_breaks_off_with_an_error_says_so(cluster: Cluster, shelf: Shelf) -> None:
    shelf.news = [{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}]
    with pytest.raises(Unreachable, match="too old"):
        turns(cluster)


@given(st.lists(st.binary(min_size=1).map(lambda line: line.replace(b"\n", b" "))), st.data())
def test_lines_are_whole_however_their_pieces_were_cut(
    whole: list[bytes], data: st.DataObject
) -> None:
    text = b"".join(line + b"\n" for line in whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    pieces = [text[a:b] for a, b in pairwise((0, *cuts, len(text)))]
    assert list(lines(pieces)) == whole


def test_a_watch_that_is_refused_is_told_and_no_change(cluster: Cluster, shelf: Shelf) -> None:
    shelf.watch_refusal = {"message": "watch is forbidden"}
    with pytest.raises(Refused, match="forbidden"):
        list(cluster.changes())
