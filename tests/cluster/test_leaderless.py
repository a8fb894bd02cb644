"""Who leads is gone: Ray's head beside workers, Kubernetes' controllers and scheduler."""

import os

import pytest

from tests.cluster import charts, outage
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster
from tests.cluster.node import daemons

pytestmark = pytest.mark.timeout(1200)

WATCH_S = 60
HEAD = "deployment/glm-v1-head"
WORKER = "deployment/glm-v1-worker"


@pytest.fixture(scope="module")
def release(
    shared_namespace: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Release:
    """A head and a worker behind the gateway; Redis keeps the head's control store."""
    folder = tmp_path_factory.mktemp("values")
    charts.platform(shared_namespace, image, folder)
    charts.ray_secret(shared_namespace)
    charts.redis(shared_namespace)
    version = charts.version_release(shared_namespace, "v1", folder)
    version.install(charts.nano_with_workers("v1", image, ray={"redis": {"address": "redis:6379"}}))
    charts.road(shared_namespace, folder, v1=100)
    return version


@pytest.fixture
def whole(release: Release) -> Cluster:
    """The cluster with its version serving."""
    for each in (HEAD, WORKER):
        release.cluster.kubectl("rollout", "status", each, f"--timeout={charts.READY_S}s")
    return release.cluster


def test_a_lost_head_cuts_nobody_and_comes_back_to_its_workers(whole: Cluster, url: str) -> None:
    chosen = "--selector=app.kubernetes.io/component=head"

    def kill() -> None:
        whole.kubectl("delete", "pod", chosen, "--grace-period=0", "--force", "--wait=false")

    with outage.of(url, kill, watch_s=WATCH_S) as seen:
        pass

    outage.note(seen.row("the head killed beside a worker, with Redis"))
    assert seen.failed("question") == []
    assert seen.failed("stream") == []
    whole.kubectl("rollout", "status", HEAD, f"--timeout={charts.READY_S}s")


@pytest.mark.skipif("KUBECONFIG" in os.environ, reason="only our own node's daemons can be stopped")
def test_nobody_notices_that_controllers_and_scheduler_are_gone(whole: Cluster, url: str) -> None:
    gone = (daemons.CONTROLLER_MANAGER, daemons.SCHEDULER)
    try:
        with outage.of(url, lambda: daemons.stop(*gone), watch_s=WATCH_S) as seen:
            pass
    finally:
        daemons.start(*gone)

    outage.note(seen.row("kube-controller-manager and kube-scheduler down for a minute"))
    assert seen.failed("question") == []
    assert seen.failed("stream") == []
    assert whole.get("deployment", "glm-v1-worker")["status"]["readyReplicas"] == 1
