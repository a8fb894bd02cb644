"""Replicas and their pods follow what waits, up and down, and no stream notices."""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.cluster import charts, traffic
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster, Refused
from tests.cluster.node import places

pytestmark = pytest.mark.timeout(1500)

FIGURES = places.CACHE / "scaling.txt"  # what the documents say is copied from here
UP_S = 300  # a pod, its Ray and its replica start while the others are busy, on two cores
DOWN_S = 420  # the time to the first token is that of the last two minutes
CROWD = 10
RUNNING = 2  # answers a replica gives at a time: the others wait


@pytest.fixture(scope="module")
def release(
    shared_namespace: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Release:
    """A head and one worker, where the adapter of this cluster knows external metrics."""
    folder = tmp_path_factory.mktemp("values")
    charts.platform(shared_namespace, image, folder)
    charts.ray_secret(shared_namespace)
    version = charts.version_release(shared_namespace, "v1", folder)
    version.install(
        charts.nano_with_workers(
            "v1",
            image,
            replicas={"min": 1, "max": 2},
            autoscaling={"metrics": "external", "waitingTokens": 16, "scaleDownAfter": 30},
            config={"engine": {"max_running": RUNNING}},
        )
    )
    charts.road(shared_namespace, folder, v1=100)
    return version


def workers(cluster: Cluster) -> int:
    """Pods that are ready and not told to go."""
    return int(cluster.get("deployment", "glm-v1-worker")["status"].get("readyReplicas", 0))


def replicas(cluster: Cluster) -> int:
    """Processes that hold the model, in all pods of workers."""
    count = (
        "import pathlib; print(sum("
        "each.read_bytes().startswith(b'ray::ServeReplica:glm:ModelReplica')"
        " for each in pathlib.Path('/proc').glob('[0-9]*/cmdline')))"
    )
    chosen = (
        "--selector=app.kubernetes.io/component=worker",
        "--field-selector=status.phase=Running",
    )
    pods = [each["metadata"]["name"] for each in cluster.get("pods", "", *chosen)["items"]]
    return sum(int(cluster.kubectl("exec", pod, "--", "python3", "-c", count)) for pod in pods)


def reach(number: int, count: Callable[[Cluster], int], cluster: Cluster, seconds: float) -> float:
    """Seconds until there are so many."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        with suppress(Refused):  # a pod that ended while it was counted
            if count(cluster) == number:
                return time.monotonic() - began
        time.sleep(2)
    raise AssertionError(cluster.kubectl("describe", "hpa"))


def test_replicas_and_workers_grow_with_what_waits_and_shrink_after_it(
    release: Release, url: str
) -> None:
    cluster = release.cluster
    with traffic.flowing(url, rate=0.2, streams=CROWD, tokens=200) as crowd:
        grown = [reach(2, each, cluster, UP_S) for each in (workers, replicas)]
    with traffic.flowing(url, rate=0.5, streams=1, tokens=200) as few:
        shrunk = [reach(1, each, cluster, DOWN_S) for each in (workers, replicas)]

    assert crowd.faults() == []
    assert few.faults() == []
    figures = f"grown after {sum(grown):.0f} s, shrunk after {sum(shrunk):.0f} s\n"
    FIGURES.write_text(figures, encoding="utf-8")
