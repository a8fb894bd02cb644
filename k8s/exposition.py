"""The controller's own metrics, and whether it is alive."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from k8s.road import Outcome, Phase, Road

_WORTH: Final = {Outcome.PASS: 1, Outcome.WAIT: 0, Outcome.FAIL: -1}


class Metrics:
    """What is known of all roads; names and units as Prometheus wants them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._phase = self._gauge("glm_road_phase", "1 for the phase a road is in", "phase")
        self._weight = self._gauge("glm_road_weight", "Share of new requests, percent", "version")
        self._ready = self._gauge("glm_road_ready_endpoints", "Of a version", "version")
        self._verdict = self._gauge(
            "glm_road_verdict", "Of a check: 1 PASS, 0 WAIT, -1 FAIL", "check"
        )
        self._held = self._gauge("glm_road_held", "1 while nothing may go forward")
        self._transitions = self._gauge("glm_road_transitions", "Transitions so far")
        self.leads = Gauge(
            "glm_road_leader", "1 for the controller that writes", registry=self.registry
        )
        self.errors = Counter(
            "glm_road_errors", "Looks that failed", ("road", "kind"), registry=self.registry
        )
        self.looks = Histogram(
            "glm_road_look_seconds", "One look at one road", ("road",), registry=self.registry
        )

    def show(self, road: Road) -> None:
        """Replace what was known of a road."""
        status, name = road.status, road.name
        for phase in Phase:
            self._phase.labels(name, phase).set(phase is status.phase)
        for version in status.versions:
            self._weight.labels(name, version.name).set(version.weight)
            self._ready.labels(name, version.name).set(version.ready)
        for verdict in status.verdicts:
            self._verdict.labels(name, verdict.check).set(_WORTH[verdict.outcome])
        held = any(each.type == "Held" and each.status == "True" for each in status.conditions)
        self._held.labels(name).set(held)
        self._transitions.labels(name).set(status.transitions)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, ("road", *labels), registry=self.registry)


def serve(port: int, metrics: Metrics, alive: Callable[[], bool]) -> ThreadingHTTPServer:
    """/metrics and /healthz, in a thread; `server.shutdown()` ends it. Port 0 takes a free one."""

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(HTTPStatus.OK, generate_latest(metrics.registry))
            elif self.path == "/healthz":
                fine = alive()
                status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
                self._answer(status, b"ok\n" if fine else b"the loop stands still\n")
            else:
                self._answer(HTTPStatus.NOT_FOUND, b"/metrics or /healthz\n")

        def _answer(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not worth a line."""

    server = ThreadingHTTPServer(("", port), Desk)  # all interfaces: Prometheus scrapes the pod
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
