"""The controller's life: who looks, what is shown, and how it ends."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest

from k8s import faults
from k8s.clocks import Clocks
from k8s.controller import Controller
from k8s.errors import BadRoad, Conflict
from k8s.exposition import Metrics, serve
from k8s.lease import Candidacy, Claim
from k8s.loop import Loop
from k8s.road import Role, VersionState
from k8s.sampler import Sampler
from tests.release.roads import road_of, spec_of
from tests.release.worlds import AtOnce, World


class Post(World):
    """A world with a lease and a watch that says one thing."""

    lease: Claim | None = None
    ended: frozenset[str] = frozenset()

    def claim(self, _name: str) -> Claim | None:
        self._reach("lease")
        return self.lease

    def write_claim(self, _name: str, claim: Claim, _duration_s: float) -> None:
        revision = claim.revision + "+"
        self.lease = Claim(holder=claim.holder, renewed=claim.renewed, revision=revision)

    def has_ended(self, holder: str) -> bool:
        return holder in self.ended

    def changes(self) -> Iterator[None]:
        self._reach("watch")
        yield None


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def loop(post: Post, metrics: Metrics) -> Loop:
    def sampler() -> Sampler:
        return Sampler(post, AtOnce(), time.monotonic, lambda: None)

    controller = Controller(post, sampler, Clocks(time.time, time.monotonic))
    candidacy = Candidacy("a", 15.0, time.monotonic)
    return Loop(post, controller, candidacy, metrics, threading.Event())


def shown(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_only_the_leader_looks(loop: Loop, post: Post) -> None:
    loop.tick()
    assert post.writes == []
    loop.renew()
    loop.tick()
    assert post.shares == {"v1": 100}


def test_who_waits_for_another_ones_lease_writes_nothing(loop: Loop, post: Post) -> None:
    post.lease = Claim(holder="b", renewed="", revision="1")
    loop.renew()
    loop.tick()
    assert post.writes == []


def test_who_waits_takes_over_at_once_from_a_pod_that_has_ended(loop: Loop, post: Post) -> None:
    post.lease = Claim(holder="b", renewed="", revision="1")
    loop.renew()
    post.ended = frozenset({"b"})
    loop.renew()
    loop.tick()
    assert post.shares == {"v1": 100}


def test_what_is_known_of_a_road_is_shown(loop: Loop, metrics: Metrics) -> None:
    loop.renew()
    loop.tick()
    assert shown(metrics, "glm_road_weight", road="glm", version="v1") == 100
    assert shown(metrics, "glm_road_phase", road="glm", phase="Stable") == 1
    assert shown(metrics, "glm_road_held", road="glm") == 0


def test_a_look_that_fails_is_counted_and_the_next_one_goes_on(
    loop: Loop, post: Post, metrics: Metrics
) -> None:
    loop.renew()
    post.broken.add("api")
    loop.tick()
    assert shown(metrics, "glm_road_errors_total", road="glm", kind="Unreachable") == 1
    post.broken.clear()
    loop.tick()
    assert post.shares == {"v1": 100}


@pytest.mark.parametrize(
    "fault", [BadRoad("bad: policy.interval"), KeyError("a fault of ours")], ids=repr
)
def test_a_road_that_cannot_be_looked_at_stops_no_other(
    loop: Loop, post: Post, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    good = post.road

    def one_is_bad(name: str) -> object:
        if name == "bad":
            raise fault
        return good(name)

    monkeypatch.setattr(post, "road_names", lambda: ["bad", "glm"])
    monkeypatch.setattr(post, "road", one_is_bad)
    loop.renew()
    loop.tick()
    assert post.shares == {"v1": 100}
    kind = type(fault).__name__
    assert shown(metrics, "glm_road_errors_total", road="bad", kind=kind) == 1


def test_a_road_that_changed_meanwhile_is_looked_at_again_at_once(
    loop: Loop, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Conflict("changed")

    monkeypatch.setattr(post, "write_status", refuse)
    loop.renew()
    loop.tick()
    assert loop._wake.is_set()


def test_it_runs_until_it_is_stopped_and_gives_the_lease_up(loop: Loop, post: Post) -> None:
    looked = threading.Event()
    written = post.write_route

    def write_route(*route: object) -> None:
        written(*route)  # type: ignore[arg-type]  # as it came
        looked.set()

    post.write_route = write_route  # type: ignore[method-assign,assignment]  # a spy
    thread = threading.Thread(target=loop.run)
    thread.start()
    assert looked.wait(20)
    loop.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert post.lease is not None
    assert post.lease.holder == ""


def test_it_leads_once_lease_and_watch_are_back(loop: Loop, post: Post) -> None:
    post.broken |= {"lease", "watch"}
    refused, written = threading.Event(), threading.Event()
    claim, write_route = post.claim, post.write_route

    def ask(name: str) -> Claim | None:
        refused.set()
        return claim(name)

    def write(*route: object) -> None:
        write_route(*route)  # type: ignore[arg-type]  # as it came
        written.set()

    post.claim, post.write_route = ask, write  # type: ignore[method-assign,assignment]  # spies
    thread = threading.Thread(target=loop.run)
    thread.start()
    assert refused.wait(20)
    assert loop.alive()
    post.broken.clear()
    assert written.wait(20)
    loop.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_a_watch_that_has_ended_is_followed_at_once_and_one_that_is_refused_is_not(
    loop: Loop, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which the first one lasts a minute."""
    clock = iter((0.0, 60.0, 60.0, 60.0))
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        post.broken.add("watch")
        if len(waits) > 1:
            loop.stop()

    monkeypatch.setattr("k8s.loop.time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(loop._stopping, "wait", wait)
    loop._watch()
    at_once, refused = waits
    assert at_once < 0 < refused


def test_without_who_keeps_its_lease_it_is_not_alive(loop: Loop, post: Post) -> None:
    post.claim = lambda _name: 1 // 0  # type: ignore[method-assign,assignment]  # a fault of ours
    dead = threading.Event()
    threading.excepthook, before = (lambda _: dead.set()), threading.excepthook
    try:
        thread = threading.Thread(target=loop.run)
        thread.start()
        assert dead.wait(20)
        while not loop._threads:
            loop._wake.wait(0.01)
        loop._threads[0].join(20)
        assert not loop.alive()
        loop.stop()
        thread.join(20)
    finally:
        threading.excepthook = before


def test_of_a_version_that_went_nothing_is_shown(metrics: Metrics) -> None:
    two = VersionState(name="v1", role=Role.STABLE, weight=100, ready=1)
    road = road_of(spec_of())
    metrics.show("glm", replace(road, status=replace(road.status, versions=(two,))))
    assert shown(metrics, "glm_road_weight", road="glm", version="v1") == 100
    metrics.show("glm", road)
    assert shown(metrics, "glm_road_weight", road="glm", version="v1") is None
    metrics.show("glm", None)
    assert shown(metrics, "glm_road_transitions", road="glm") is None


def test_who_leads_no_more_tells_of_no_road(loop: Loop, metrics: Metrics) -> None:
    loop.renew()
    loop.tick()
    assert shown(metrics, "glm_road_transitions", road="glm") is not None
    loop._hand_over()
    loop.tick()
    assert shown(metrics, "glm_road_transitions", road="glm") is None


def test_metrics_and_health_are_served(metrics: Metrics) -> None:
    alive = True
    server = serve(0, metrics, lambda: alive)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert "glm_road_leader" in httpx.get(f"{address}/metrics").text
        assert httpx.get(f"{address}/healthz").status_code == 200
        alive = False
        assert httpx.get(f"{address}/healthz").status_code == 503
    finally:
        server.shutdown()
        server.server_close()


def test_a_fault_point_kills_only_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    ended: list[int] = []
    monkeypatch.setattr("os.kill", lambda _pid, number: killed.append(number))
    monkeypatch.setattr("os._exit", ended.append)
    places = "Canary:status-written,Promoted:recorded"
    fault = faults.from_environment({faults.VARIABLE: places})
    fault("Canary:route-written")
    assert killed == []
    fault("Canary:status-written")
    assert killed == [9]
    fault("Promoted:recorded")
    assert killed == [9, 9]
    faults.from_environment({})("Canary:status-written")
    assert killed == [9, 9]
    assert ended == [137, 137], "a container's first process is deaf to its own signal"
