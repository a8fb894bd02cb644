"""A namespace with all that a release needs, nothing of it made up; roads are laid anew."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from kubernetes import config

from k8s import wishes
from k8s.cluster import Cluster as Api
from k8s.cluster import Rest
from k8s.errors import Conflict, ReleaseError
from k8s.road import Road as Seen
from k8s.road import Version
from k8s.road.order import Order
from k8s.road.route import share_of
from k8s.road.spec import PROMOTED
from tests.cluster import charts, traffic
from tests.cluster.charts import Release, Values
from tests.cluster.kube import Cluster, Refused
from tests.cluster.node import places
from tests.cluster.roads import Numbers, Road, define, until

PROMETHEUS = "http://prometheus.monitoring:9090"
GLANCE_S = 0.1
REPORTS = "glm-serve.io/evaluation"
GOLDEN = "glm-golden"  # where the chart's Job looks for its questions
TABLE = places.CACHE / "releases.md"  # what the documents show is copied from here

Sowing = Callable[[str, str], Values]
"""Values of a version, of its name and image."""


@dataclass
class Stage:
    """Platform and versions of one namespace; `api` asks as the controller does."""

    cluster: Cluster
    image: str
    folder: Path
    api: Api
    there: set[str] = field(default_factory=set)

    def only(self, **versions: Sowing) -> None:
        """These and no others; two start at a time, for each takes both cores for half a minute."""
        for name in self.there - versions.keys():
            self._part(name)
        missing = [name for name in versions if name not in self.there]
        for pair in zip(missing[::2], [*missing[1::2], None], strict=False):
            for name in filter(None, pair):
                values = versions[name](name, self.image)
                charts.version_release(self.cluster, name, self.folder).apply(values)
            for name in filter(None, pair):
                self._await(name)
                self.there.add(name)
        for name in versions.keys() - set(missing):
            self._await(name)  # the test before may have killed it

    def _await(self, name: str) -> None:
        head, patience = f"deployment/glm-{name}-head", f"--timeout={charts.READY_S}s"
        self.cluster.kubectl("rollout", "status", head, patience)

    def _part(self, name: str) -> None:
        """Nothing leads there any more: nobody waits for its pod to end."""
        self.cluster.helm("uninstall", f"glm-{name}")
        pods = f"--selector=app.kubernetes.io/instance=glm-{name}"
        self.cluster.kubectl("delete", "pods", pods, "--grace-period=1", "--wait=false")
        self.there.remove(name)

    def lay(self, url: str, **policy: Any) -> Road:
        """A new road, whose users are on v1 and are answered."""
        self._clear(url)
        release = Release(self.cluster, "glm-road", charts.HELM / "glm-road", self.folder)
        release.install({"stable": "v1", "policy": policy}, wait_s=60)
        road = Road(self.cluster, Numbers())
        until(lambda: share_of(self.api.route("glm"), "v1") == 1.0, "everybody on v1")
        until(lambda: traffic.answers(url), "an answer through the gateway")
        return road

    def _clear(self, url: str) -> None:
        """Nothing is left of the road before: a report of its candidate would count once more.

        Its Jobs end first, for one that runs on would write another. The ledger stays: it goes on.
        """
        with suppress(Refused):
            self.cluster.helm("uninstall", "glm-road", "--wait")
        kubectl = self.cluster.kubectl
        kubectl("delete", "jobs", "--all", "--cascade=foreground", "--timeout=300s")
        kubectl("delete", "configmaps", f"--selector={REPORTS}")
        kubectl("delete", "configmap", GOLDEN, "--ignore-not-found")
        until(lambda: self.api.route("glm") is None, "the end of the road before")
        until(lambda: not traffic.answers(url), "the gateway leads nowhere")

    def seen(self) -> Seen:
        """The road as it is now."""
        road = self.api.road("glm")
        if road is None:
            raise AssertionError("there is no road")
        return road

    def send(self, version: str, *, digest: str = "", advance_to: str = PROMOTED) -> None:
        """Release it, whatever became of it before, as `kubectl glm release` does."""
        named = Version(name=version, model_digest=digest)
        until(lambda: self._sent(named, advance_to), f"{version} on its way")

    def _sent(self, version: Version, advance_to: str) -> bool:
        """Whether nobody else wrote the road meanwhile."""
        seen = self.seen()
        hold = seen.status.hold.id if seen.status.hold else None
        order = Order(version=version, again=True, override_hold=hold, advance_to=advance_to)
        try:
            wish = dict(wishes.release(seen, order))
            self.api.wish(seen.name, wish, "kubectl-glm", seen.resource_version)
        except Conflict:
            return False
        return True

    def back(self, to: str | None = None) -> float:
        """Write the wish to go back, as `kubectl glm rollback` does; when it was sent."""
        wish = dict(wishes.rollback(self.seen(), to, "the test"))
        sent = time.monotonic()
        self.api.wish("glm", wish, "kubectl-glm")
        return sent


def note(what: str) -> None:
    """A figure that somebody may want to read."""
    with TABLE.open("a", encoding="utf-8") as table:
        table.write(f"{what}\n")


@contextmanager
def staged(namespace: Cluster, image: str, folder: Path) -> Iterator[Stage]:
    """With controllers, scorer and gateway, and no version yet."""
    define(namespace)
    controller = {"enabled": True, "prometheus": PROMETHEUS}
    charts.platform(namespace, image, folder, controller=controller, scorer={"enabled": True})
    client = config.new_client_from_config(str(namespace.kubeconfig))
    yield Stage(namespace, image, folder, Api(Rest(client, namespace.namespace)))


@dataclass(frozen=True, slots=True)
class Mark:
    """From then on a version had that share of new requests; monotonic seconds."""

    at: float
    share: float


@contextmanager
def marked(api: Api, version: str) -> Iterator[Sequence[Mark]]:
    """Every share of a version, as the route says it."""
    marks: list[Mark] = []
    over = Event()

    def watch() -> None:
        while not over.wait(GLANCE_S):
            with suppress(ReleaseError, Conflict):
                share = share_of(api.route("glm"), version)
                if not marks or marks[-1].share != share:
                    marks.append(Mark(time.monotonic(), share))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield marks
    finally:
        over.set()
        thread.join()
        marks.append(Mark(time.monotonic(), -1.0))
