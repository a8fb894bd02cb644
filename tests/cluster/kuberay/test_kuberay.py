"""A version held by a real KubeRay operator; this says plainly where there is none."""

import pytest

from tests.cluster import charts
from tests.cluster.kube import Cluster, Refused

pytestmark = pytest.mark.timeout(1800)

READY_S = 900


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Cluster:
    """The cluster, if an operator is at work in it."""
    operators = "app.kubernetes.io/name=kuberay-operator"
    try:
        found = cluster.get("deployments", "", "--all-namespaces", "--selector", operators)["items"]
    except Refused:
        found = []
    if not any(each["status"].get("readyReplicas") for each in found):
        pytest.skip("no KubeRay operator in this cluster: RayService was NOT tried")
    return cluster


@pytest.fixture(scope="module")
def version(
    operator: Cluster,
    shared_namespace: Cluster,
    image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> charts.Release:
    folder = tmp_path_factory.mktemp("values")
    small = {"requests": {"cpu": "300m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "3Gi"}}
    values = charts.nano(
        "v1",
        image,
        workloads="rayservice",
        workers={"enabled": True, "resources": small},
        head={"resources": small},
    )
    release = charts.version_release(shared_namespace, "v1", folder)
    release.apply(values)
    shared_namespace.wait("rayservice/glm-v1", "condition=Ready", READY_S)
    return release


def test_a_rayservice_answers_under_the_one_name(version: charts.Release) -> None:
    said = version.cluster.helm("test", version.name, "--logs", "--timeout=120s")

    assert "Phase:          Succeeded" in said


def test_its_pods_are_drained_no_sooner_than_streams_end(version: charts.Release) -> None:
    pods = version.cluster.get("pods", "", "--selector", "glm-serve.io/version=v1")["items"]

    assert pods
    for pod in pods:
        assert pod["spec"]["terminationGracePeriodSeconds"] > charts.MAX_STREAM_S


def test_a_budget_lets_one_pod_go_at_a_time(version: charts.Release) -> None:
    budget = version.cluster.get("poddisruptionbudget", "glm-v1")["status"]

    assert budget["disruptionsAllowed"] == 1
