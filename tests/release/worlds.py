"""A cluster in memory: it keeps what an API server keeps, and refuses what one refuses."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from k8s.clocks import Clocks
from k8s.controller import Controller
from k8s.errors import Conflict, Unreachable
from k8s.faults import Fault
from k8s.ledger import Record
from k8s.reports import Summary
from k8s.road import Outcome, Road, Status, Transition, Verdict
from k8s.road.order import attempt_of
from k8s.sampler import Sampler
from k8s.samples import Histogram, Sample
from tests.release.roads import NOW, VERSIONS, digest_of, road_of, spec_of

BOUNDS = (0.02, 0.04, 0.1, 0.25, 0.5, 1.0, float("inf"))
TOKENS = (1.0, 5.0, 10.0, 20.0, 50.0, float("inf"))
_EVEN = Histogram(BOUNDS, (40.0, 40.0, 15.0, 4.0, 1.0, 0.0, 0.0))
HEALTHY = Sample(
    finished={"stop": 190.0, "length": 10.0},
    answered={"200": 196.0, "400": 4.0},
    ttft=_EVEN,
    itl=_EVEN,
    tpot=_EVEN,
    lengths=Histogram(TOKENS, (0.0, 20.0, 100.0, 80.0, 0.0, 0.0)),
    screened=200.0,
    blocked=0.0,
)
SICK = replace(HEALTHY, finished={"error": 190.0, "stop": 10.0})


class Crash(Exception):
    """The controller died here."""


@dataclass
class World:
    """One road and all that is around it; `broken` makes whatever is named unreachable."""

    resource: Road = field(default_factory=lambda: road_of(spec_of()))
    services: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VERSIONS, 1))
    http_route: dict[str, Any] | None = None
    ledger: list[Record] = field(default_factory=list)
    told: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    measured: dict[str, Sample] = field(default_factory=dict)
    evaluated: dict[str, Summary] = field(default_factory=dict)
    restarted: dict[str, float] = field(default_factory=dict)  # when a container last began again
    broken: set[str] = field(default_factory=set)
    writes: list[str] = field(default_factory=list)
    windows: list[float] = field(default_factory=list)  # that numbers were asked for, in seconds
    revision: int = 0

    def _reach(self, what: str) -> None:
        if what in self.broken:
            raise Unreachable(f"{what} does not answer")

    def road_names(self) -> Sequence[str]:
        return [self.resource.name]

    def road(self, _name: str) -> Road | None:
        self._reach("api")
        return self.resource

    def write_status(self, road: Road, status: Status) -> Road:
        self._reach("api")
        if road.resource_version != self.resource.resource_version:
            raise Conflict("changed")
        self.writes.append("status")
        self._changed(replace(self.resource, status=status))
        return self.resource

    def _changed(self, road: Road) -> None:
        self.revision += 1
        self.resource = replace(road, resource_version=str(self.revision))

    def wish(self, **wishes: Any) -> None:
        """What a person, Helm or a pipeline writes."""
        spec = replace(self.resource.spec, **wishes)
        generation = self.resource.generation + 1
        self._changed(replace(self.resource, spec=spec, generation=generation))

    def ready(self, versions: Sequence[str]) -> Mapping[str, int]:
        self._reach("api")
        return {each: n for each, n in self.services.items() if each in versions}

    def restarts(self, version: str, since: float) -> int:
        return int(self.restarted.get(version, 0.0) >= since)

    def summary(self, version: str) -> Summary | None:
        return self.evaluated.get(version)

    def route(self, _name: str) -> dict[str, Any] | None:
        self._reach("api")
        return self.http_route

    def write_route(self, route: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
        self._reach("api")
        if live is not self.http_route:
            raise Conflict("changed")
        self.writes.append("route")
        self.http_route = dict(route)

    def head(self, _road: str) -> Record | None:
        self._reach("ledger")
        self._reach("book")
        return self.ledger[-1] if self.ledger else None

    def append(self, _road: str, record: Record) -> bool:
        self._reach("ledger")
        new = record.number == len(self.ledger) + 1
        if new:
            self.ledger.append(record)
        return new

    def tell(self, _road: Road, transition: Transition, **_how: bool) -> None:
        self.told.setdefault(transition.number, transition.message)

    def note(self, _road: Road, reason: str, _message: str) -> None:
        self.notes.append(reason)

    def samples(self, versions: tuple[str, ...], window_s: float) -> Mapping[str, Sample]:
        self._reach("prometheus")
        self.windows.append(window_s)
        return {each: self.measured.get(each, HEALTHY) for each in versions}

    @property
    def shares(self) -> dict[str, int]:
        """What users get: weights of the route, as the gateway sees it."""
        if self.http_route is None:
            return {}
        backends = self.http_route["spec"]["rules"][0]["backendRefs"]
        return {e["name"].removeprefix("glm-"): e["weight"] for e in backends if e["weight"]}


class AtOnce(Executor):
    """Does what it is given before it returns."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Later(Executor):
    """Does what it was given when it is told to."""

    def __init__(self) -> None:
        self._given: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._given.append((future, partial(fn, *args, **kwargs)))
        return future

    def work(self) -> None:
        for future, task in self._given:
            future.set_result(task())


class Town:
    """A world, a controller in it that may die and come back, and a clock turned by hand."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.now = NOW
        self.set_forward = 0.0
        self.executor: Executor = AtOnce()
        self.start()

    def start(self, fault: Fault | None = None) -> None:
        """A new controller, which remembers nothing."""
        clocks = Clocks(lambda: self.now + self.set_forward, lambda: self.now)

        def sampler() -> Sampler:
            return Sampler(self.world, self.executor, lambda: self.now, lambda: None)

        given = {} if fault is None else {"fault": fault}
        self.controller = Controller(self.world, sampler, clocks, **given)

    def look(self, after: float = 0.0) -> Status:
        self.now += after
        with suppress(Unreachable, Conflict):
            self.controller.reconcile("glm")
        return self.world.resource.status

    def settle(self, looks: int = 8) -> Status:
        """Look until nothing more is written."""
        for _ in range(looks):
            before = len(self.world.writes)
            self.look()
            if len(self.world.writes) == before:
                break
        return self.world.resource.status

    def evaluated(self, version: str, outcome: Outcome = Outcome.PASS) -> None:
        verdict = Verdict(check="eval-bleu", outcome=outcome, message="as it was")
        road = self.world.resource
        model = road.spec.version(version)
        self.world.evaluated[version] = Summary(
            version=version,
            digest="d" * 64,
            verdicts=(verdict,),
            attempt=attempt_of(road, version),
            incumbent=road.status.stable or "",
            incumbent_digest=digest_of(road.status.stable or ""),
            model_digest=model.model_digest if model else "",
        )

    def release(self, version: str) -> None:
        """What `kubectl glm release` writes."""
        self.evaluated(version)
        self.world.wish(
            stable=self.world.resource.status.stable, candidate=version, rollback_to=None
        )

    def walk(self, until: str | None = None, every: float = 301.0, looks: int = 60) -> Status:
        """Let time go by until a step begins, or until nothing is under way."""
        for _ in range(looks):
            status = self.look(after=every)
            if status.step == until or not status.under_way:
                break
        return status
