"""The controller's own metrics, and whether it is alive."""

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from k8s import desk
from k8s.road import Outcome, Phase, Road, Status

_WORTH: Final = {Outcome.PASS: 1, Outcome.WAIT: 0, Outcome.FAIL: -1}


class Metrics:
    """What is known of all roads; names and units as Prometheus wants them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._roads = _Roads()
        self.registry.register(self._roads)
        self.leads = Gauge(
            "glm_road_leader", "1 for the controller that writes", registry=self.registry
        )
        self.errors = Counter(
            "glm_road_errors", "Looks that failed", ("road", "kind"), registry=self.registry
        )
        self.looks = Histogram(
            "glm_road_look_seconds", "One look at one road", ("road",), registry=self.registry
        )

    def show(self, name: str, road: Road | None) -> None:
        """Replace what was known of a road; None: it is gone."""
        self._roads.seen = {each: it for each, it in self._roads.seen.items() if each != name}
        if road is not None:
            self._roads.seen[name] = road

    def forget(self) -> None:
        """Another controller tells of the roads."""
        self._roads.seen = {}


class _Roads(Collector):
    """The roads as they were last seen; nothing stays of what is no more in them."""

    def __init__(self) -> None:
        self.seen: dict[str, Road] = {}  # replaced whole: a scrape runs in another thread

    def collect(self) -> Iterator[GaugeMetricFamily]:
        roads = self.seen
        for name, text, label, told in _TOLD:
            labels = ("road", label) if label else ("road",)
            family = GaugeMetricFamily(name, text, labels=labels)
            for road in roads.values():
                for value, number in told(road.status):
                    family.add_metric((road.name, value) if label else (road.name,), number)
            yield family


def _held(status: Status) -> float:
    return any(each.type == "Held" and each.status == "True" for each in status.conditions)


_Told = Callable[[Status], Iterable[tuple[str, float]]]
_TOLD: Final[tuple[tuple[str, str, str, _Told], ...]] = (
    (
        *("glm_road_phase", "1 for the phase a road is in", "phase"),
        lambda status: [(each, each is status.phase) for each in Phase],
    ),
    (
        *("glm_road_weight", "Share of new requests, percent", "version"),
        lambda status: [(each.name, each.weight) for each in status.versions],
    ),
    (
        *("glm_road_ready_endpoints", "Of a version", "version"),
        lambda status: [(each.name, each.ready) for each in status.versions],
    ),
    (
        *("glm_road_verdict", "Of a check: 1 PASS, 0 WAIT, -1 FAIL", "check"),
        lambda status: [(each.check, _WORTH[each.outcome]) for each in status.verdicts],
    ),
    (
        *("glm_road_held", "1 while nothing may go forward", ""),
        lambda status: [("", _held(status))],
    ),
    (
        *("glm_road_transitions", "Transitions so far", ""),
        lambda status: [("", status.transitions)],
    ),
)


def serve(port: int, metrics: Metrics, alive: Callable[[], bool]) -> ThreadingHTTPServer:
    """/metrics and /healthz, in a thread; `server.shutdown()` ends it. Port 0 takes a free one."""

    class Desk(desk.Desk):
        def do_GET(self) -> None:  # noqa: N802 -- so the server calls it
            if self.path == "/metrics":
                self.answer(HTTPStatus.OK, generate_latest(metrics.registry))
            elif self.path == "/healthz":
                fine = alive()
                status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
                self.answer(status, b"ok\n" if fine else b"the loop stands still\n")
            else:
                self.answer(HTTPStatus.NOT_FOUND, b"/metrics or /healthz\n")

    return desk.open_at(port, Desk)
