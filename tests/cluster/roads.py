"""A road on a real API server: versions that are only Services, and a controller on this machine.

No pod runs here: what is tested is admission, the order of writes and what survives a SIGKILL.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from k8s.errors import Unreachable
from k8s.road import Version
from k8s.road.resource import render_spec
from k8s.road.spec import CanaryStep, Evaluation, Mirror, ParentRef, Policy, Spec
from tests.cluster.kube import Cluster, Object, Refused
from tests.cluster.node import places

CRD = places.REPOSITORY / "helm/glm-platform/files/modelroad-crd.yaml"
VERSIONS = ("v1", "v2", "v3", "v4")
LEASE_S = 3.0
PATIENCE_S = 300.0  # a busy machine starts a controller in ten seconds, and some tests ten of them
QUICK = Policy(
    evaluate=Evaluation(required=False, deadline=PATIENCE_S),
    mirror=Mirror(percent=5, duration=1.0, deadline=PATIENCE_S),
    canary=tuple(
        CanaryStep(weight=weight, duration=1.0, deadline=PATIENCE_S) for weight in (1, 10, 50)
    ),
    interval=1.0,
)


def define(cluster: Cluster) -> None:
    """What a ModelRoad is, as the platform's chart brings it."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRD}")
    established(cluster, "modelroads.glm-serve.io")


def established(cluster: Cluster, definition: str) -> None:
    """One that is a moment old has no conditions to ask for, and its objects are found later."""
    cluster.wait(f"crd/{definition}", "jsonpath={.status.acceptedNames.kind}", PATIENCE_S)
    cluster.wait(f"crd/{definition}", "condition=Established", PATIENCE_S)
    until(lambda: bool(cluster.get(definition)), f"the API of {definition}")


def settled(namespace: Cluster) -> None:
    """A new one takes pods as soon as it has the account that they get: a moment later."""
    until(lambda: bool(namespace.get("serviceaccount", "default")), "the default account")


def version(name: str) -> tuple[Object, Object]:
    """A Service, and one endpoint that is always ready."""
    ports = [{"name": "http", "port": 8000}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"glm-{name}"},
        "spec": {"ports": ports},
    }
    labels = {"kubernetes.io/service-name": f"glm-{name}"}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"glm-{name}-by-hand", "labels": labels},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": ["10.255.255.1"], "conditions": {"ready": True}}],
    }
    return service, endpoints


def road(policy: Policy = QUICK) -> Object:
    spec = Spec(
        versions=tuple(Version(name=name) for name in VERSIONS),
        stable="v1",
        parent_refs=(ParentRef(name="glm"),),
        policy=policy,
    )
    return {
        "apiVersion": "glm-serve.io/v1alpha1",
        "kind": "ModelRoad",
        "metadata": {"name": "glm"},
        "spec": render_spec(spec),
    }


@dataclass
class Numbers:
    """A Prometheus that says what a test wants of each version."""

    url: str = ""
    sick: set[str] = field(default_factory=set)

    def answer(self, query: str) -> list[Object]:
        names = query.partition('version=~"')[2].partition('"')[0].split("|")
        return [
            {"metric": {"version": name, **labels}, "value": [0, str(value)]}
            for name in names
            for labels, value in self._series(query, name)
        ]

    def _series(self, query: str, name: str) -> list[tuple[Mapping[str, str], int]]:
        if "request_success" in query:
            other = "error" if name in self.sick else "length"
            return [({"finished_reason": "stop"}, 180), ({"finished_reason": other}, 20)]
        if "http_requests" in query:
            return [({"status": "200"}, 200)]
        if "guard_verdicts" in query:
            return [({"action": "allow"}, 200)]
        if "mirror" in query or "gpu" in query:
            return []
        bounds = ("1", "5", "10") if "tokens" in query else ("0.02", "0.1", "0.5")
        counts = (0, 60, 150, 200)
        return [({"le": le}, n) for le, n in zip((*bounds, "+Inf"), counts, strict=True)]


@contextmanager
def prometheus() -> Iterator[Numbers]:
    numbers = Numbers()

    class Desk(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)["query"][0]
            data = {"resultType": "vector", "result": numbers.answer(query)}
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Desk) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        numbers.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield numbers
        finally:
            server.shutdown()


@dataclass(frozen=True, slots=True)
class Road:
    """The road in its namespace, and those who act on it."""

    cluster: Cluster
    numbers: Numbers

    def controller(self, name: str, fault: str = "") -> "subprocess.Popen[bytes]":
        """A process of its own, which a fault point may kill."""
        more = {"POD_NAME": name, "GLM_LEASE_S": str(LEASE_S), "GLM_METRICS_PORT": "0"}
        return subprocess.Popen(
            [sys.executable, "-m", "k8s", "controller", "--prometheus", self.numbers.url],
            env=self._environment() | more | {"GLM_ROAD_FAULT": fault},
            stderr=subprocess.DEVNULL,
        )

    def glm(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "k8s", *words, "--namespace", self.cluster.namespace],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def wish(self, **changes: object) -> None:
        """What somebody with kubectl writes; raises Refused as admission does."""
        patch = json.dumps({"spec": changes})
        self.cluster.kubectl("patch", "modelroad", "glm", "--type=merge", f"--patch={patch}")

    @property
    def status(self) -> Object:
        status: Object = self.cluster.get("modelroad", "glm").get("status", {})
        return status

    @property
    def shares(self) -> dict[str, int]:
        route = self.cluster.get("httproute", "glm")
        backends = route["spec"]["rules"][0]["backendRefs"]
        return {each["name"]: each["weight"] for each in backends if each["weight"]}

    def until(self, phase: str) -> None:
        until(lambda: self.status.get("phase") == phase, f"{phase}, not {self.status}")

    def _environment(self) -> dict[str, str]:
        own = {"KUBECONFIG": str(self.cluster.kubeconfig), "POD_NAMESPACE": self.cluster.namespace}
        return {**os.environ, **own, "PYTHONWARNINGS": "ignore"}


def until(true: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Look until it is so; what the API server cannot tell just now it tells at the next look."""
    deadline = time.monotonic() + patience_s
    while True:
        refusal = ""
        try:
            if true():
                return
        except (Refused, Unreachable) as error:
            refusal = f"; the last look: {error}"
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience_s:g} s for {what}{refusal}")
        time.sleep(0.2)


@contextmanager
def kept_alive(start: Callable[[], "subprocess.Popen[bytes]"]) -> Iterator[list[int]]:
    """As Kubernetes keeps a pod: started again whenever it ends; gives its exit codes."""
    codes: list[int] = []
    stopping = threading.Event()
    running = [start()]

    def watch() -> None:
        while True:
            codes.append(running[0].wait())
            if stopping.is_set():
                return
            running[0] = start()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield codes
    finally:
        stopping.set()
        while thread.is_alive():  # another one may have been started just now
            running[0].terminate()
            thread.join(1)
