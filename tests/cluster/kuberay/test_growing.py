"""KubeRay brings a worker for what waits, and takes it away afterwards."""

from pathlib import Path

import pytest

from tests.cluster import charts, pods, traffic
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster, Object
from tests.cluster.roads import until

pytestmark = pytest.mark.timeout(1500)

CROWD = 10
UP_S = 300.0
DOWN_S = 420.0


@pytest.fixture(scope="module")
def release(
    operator: Cluster,
    shared_namespace: Cluster,
    image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Release:
    folder: Path = tmp_path_factory.mktemp("values")
    charts.platform(shared_namespace, image, folder)
    version = charts.version_release(shared_namespace, "v1", folder)
    values = charts.nano_by_kuberay(
        "v1",
        image,
        replicas={"min": 1, "max": 2},
        autoscaling={"waitingTokens": 16, "scaleDownAfter": 30, "idleTimeout": 20},
        config={"engine": {"max_running": 2}},
    )
    charts.installed_by_kuberay(version, values)
    charts.road(shared_namespace, folder, v1=100)
    return version


def ready_workers(cluster: Cluster) -> int:
    return sum(is_ready(each) for each in pods.staying(cluster, "ray.io/node-type=worker"))


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def test_workers_grow_with_what_waits_and_shrink_after_it(release: Release, url: str) -> None:
    cluster = release.cluster
    with traffic.flowing(url, rate=0.2, streams=CROWD, tokens=200) as crowd:
        until(lambda: ready_workers(cluster) == 2, "a second worker", UP_S)
    with traffic.flowing(url, rate=0.5, streams=1, tokens=200) as few:
        until(lambda: ready_workers(cluster) == 1, "a single worker again", DOWN_S)

    assert crowd.faults() == []
    assert few.faults() == []
