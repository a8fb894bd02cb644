"""Ways back, fifty times; and a road on which controllers die and several people act at once."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from k8s.road import Phase
from k8s.road.route import share_of
from tests.cluster import candidates, charts, rollbacks, traffic
from tests.cluster.charts import Release
from tests.cluster.journeys import RATE
from tests.cluster.roads import until
from tests.cluster.stage import Stage, note
from tests.cluster.traffic import Traffic

pytestmark = pytest.mark.timeout(1800)

CONTROLLER = "deployment/glm-controller"
CONTROLLERS = "app.kubernetes.io/component=controller"
LEASE_S = 15.0
DEATHS = ("Evaluating:status-written", "Mirroring:route-written", "Canary:status-written",
          "Promoted:route-written", "RolledBack:status-written")  # fmt: skip


@pytest.fixture(autouse=True)
def _versions(stage: Stage) -> None:
    stage.only(v1=candidates.small, v2=candidates.good, v3=candidates.small, v4=candidates.small)


@contextmanager
def using(url: str, streams: int = 2) -> Iterator[Traffic]:
    with traffic.flowing(url, rate=RATE, streams=streams, tokens=300, limit_s=1500) as users:
        yield users


def test_fifty_rollbacks_from_everywhere_to_every_kept_version(stage: Stage, door: str) -> None:
    road = stage.lay(door, **rollbacks.policy("evaluate"), keep=3)
    with using(door) as users:
        done = list(rollbacks.from_steps(stage, road, rollbacks.STEPS * 7))
        for version in ("v2", "v3"):
            rollbacks.promote(stage, road, version)
        done += rollbacks.from_promoted(stage, road, "v4", ("v1", "v2", "v3") * 5)

    note(rollbacks.table(done, users))
    assert len(done) == 50
    assert users.faults() == []
    assert max(each.last_s(users) for each in done) <= rollbacks.LIMIT_S


def test_controllers_that_are_killed_between_two_writes_in_every_phase_finish_all_the_same(
    stage: Stage, door: str
) -> None:
    """By SIGKILL, in the one that leads; Kubernetes starts it again, and the other one goes on."""
    road = stage.lay(door, **every_step())
    with dying(stage, ",".join(DEATHS)), using(door) as users:
        stage.send("v2")
        until(lambda: stage.seen().status.phase is Phase.PROMOTED, "the promotion", 400)
        sent = stage.back("v1")
        until(lambda: share_of(stage.api.route("glm"), "v1") == 1.0, "everybody on v1")
        took_s = time.monotonic() - sent
        expected = len(every_step()["canary"]) + 4
        until(lambda: deaths(stage) == expected, "the last death")

    note(f"{expected} deaths; rollback by a controller that died over it: {took_s:.1f} s")
    assert users.faults() == []
    road.until("RolledBack")
    records = road.glm("history", "-o", "json")
    assert records.returncode == 0, records.stderr
    bodies = [json.loads(line)["body"] for line in records.stdout.splitlines()]
    mine = [each["to"] for each in bodies if each["uid"] == stage.seen().uid]
    assert mine == [
        "Stable", "Evaluating", "Mirroring", "Canary", "Canary", "Canary", "Promoted", "RolledBack",
    ]  # fmt: skip


def every_step() -> dict[str, Any]:
    """One second each, and whatever the gates need to see anything."""
    canary = [{"weight": each, "duration": "1s", "deadline": "10m"} for each in (5, 10, 50)]
    return rollbacks.policy("mirror") | {"canary": canary}


@contextmanager
def dying(stage: Stage, places: str) -> Iterator[None]:
    """Controllers that kill themselves there."""
    kubectl = stage.cluster.kubectl
    kubectl("set", "env", CONTROLLER, f"GLM_ROAD_FAULT={places}")
    kubectl("rollout", "status", CONTROLLER, "--timeout=180s")
    try:
        yield
    finally:
        kubectl("set", "env", CONTROLLER, "GLM_ROAD_FAULT-")
        kubectl("rollout", "status", CONTROLLER, "--timeout=180s")


def deaths(stage: Stage) -> int:
    pods = stage.cluster.get("pods", "", "--selector", CONTROLLERS)["items"]
    return sum(pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods)


@pytest.mark.parametrize(("killed", "limit_s"), [("the leader", 2 * LEASE_S), ("all", 4 * LEASE_S)])
def test_a_rollback_waits_for_whoever_leads_next(
    stage: Stage, door: str, killed: str, limit_s: float
) -> None:
    """Pods that are gone at once, as with their node; users are well served meanwhile."""
    road = stage.lay(door, **rollbacks.policy("canary-50"))
    with using(door) as users:
        stage.send("v2", advance_to="canary-50")
        until(lambda: stage.seen().status.step == "canary-50", "half of the users")
        lease = stage.cluster.get("lease", "glm-road-controller")
        pods = [lease["spec"]["holderIdentity"]] if killed == "the leader" else ["--all"]
        if pods == ["--all"]:
            pods = ["--selector", CONTROLLERS]
        stage.cluster.kubectl("delete", "pods", *pods, "--grace-period=0", "--force")
        sent = stage.back("v1")
        until(lambda: share_of(stage.api.route("glm"), "v1") == 1.0, "everybody on v1")
        took_s = time.monotonic() - sent
        road.until("RolledBack")

    note(f"rollback with {killed} of the controllers just killed: {took_s:.1f} s")
    assert users.faults() == []
    assert took_s <= limit_s


def test_an_operator_s_helm_rollback_in_the_middle_of_a_step_brings_everybody_home(
    stage: Stage, door: str
) -> None:
    road = stage.lay(door, **rollbacks.policy("canary-50"))
    release = Release(stage.cluster, "glm-road", charts.HELM / "glm-road", stage.folder)
    with using(door) as users:
        wish = {"stable": "v1", "candidate": "v2", "advanceTo": "canary-50"}
        release.apply(wish | {"policy": rollbacks.policy("canary-50")})
        until(lambda: stage.seen().status.step == "canary-50", "half of the users")
        time.sleep(3)
        began = time.monotonic()
        stage.cluster.helm("rollback", "glm-road", "1", charts.OURS)
        road.until("Aborted")
        time.sleep(3)

    last = max((each.began - began for each in users.answers if each.version == "v2"), default=0.0)
    note(f"helm rollback: last new request on the candidate {last:.2f} s after it was typed")
    assert road.shares == {"glm-v1": 100}
    assert "the spec no longer asks for v2" in road.glm("why").stdout
    assert users.faults() == []


def test_of_two_releases_at_once_one_is_told_of_the_other(stage: Stage, door: str) -> None:
    road = stage.lay(door, **rollbacks.policy("mirror"))
    told: list[subprocess.CompletedProcess[str]] = []

    def release(version: str) -> None:
        told.append(road.glm("release", version, "--advance-to", "mirror"))

    both = [threading.Thread(target=release, args=(each,)) for each in ("v2", "v3")]
    for each in both:
        each.start()
    for each in both:
        each.join()

    won, lost = sorted(told, key=lambda each: each.returncode)
    note(f"two releases at once: {won.stdout.strip()!r}, {lost.stderr.strip()!r}")
    assert (won.returncode, lost.returncode) == (0, 1)
    assert str(stage.seen().spec.candidate) in won.stdout
    assert lost.stderr


def test_a_route_that_somebody_edits_leads_astray_for_a_moment(stage: Stage, door: str) -> None:
    road = stage.lay(door, **rollbacks.policy("mirror"))
    road.wish(versions=[{"name": "v1"}, {"name": "v2"}])
    until(lambda: len(stage.cluster.get("httproute", "glm")["spec"]["rules"]) == 3, "its rules")
    swapped = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{number}/weight", "value": weight}
        for number, weight in enumerate((0, 100))
    ]
    with using(door) as users:
        time.sleep(3)
        began = time.monotonic()
        patch = f"--patch={json.dumps(swapped)}"
        stage.cluster.kubectl("patch", "httproute", "glm", "--type=json", patch)
        until(lambda: share_of(stage.api.route("glm"), "v1") == 1.0, "the weights of the road")
        time.sleep(3)

    astray = [each.began - began for each in users.answers if each.version == "v2"]
    note(f"edited route: {len(astray)} requests astray, the last {max(astray, default=0):.2f} s on")
    until(lambda: "RouteRestored" in road.glm("events", "-o", "json").stdout, "the Event")
    assert users.faults() == []
