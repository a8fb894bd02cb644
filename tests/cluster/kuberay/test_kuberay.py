"""A version held by a real KubeRay operator; this says plainly where there is none."""

from pathlib import Path

import httpx
import pytest

from tests.cluster import charts, outage, traffic
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster, Object
from tests.cluster.roads import until

pytestmark = pytest.mark.timeout(1500)

STREAMS = 4
TOKENS = 400
READY_S = 600.0  # two clusters start beside each other on two cores
END_S = 120.0 + 2 * charts.MAX_STREAM_S + 180.0  # of a cluster that another has followed
WATCH_S = 120.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("values")


@pytest.fixture(scope="module")
def values(image: str) -> charts.Values:
    """A head, one worker, and Redis behind them."""
    return charts.nano_by_kuberay("v1", image, ray={"redis": {"address": "redis:6379"}})


@pytest.fixture(scope="module")
def release(
    operator: Cluster, shared_namespace: Cluster, image: str, folder: Path, values: charts.Values
) -> Release:
    """Version v1 behind the gateway."""
    charts.platform(shared_namespace, image, folder)
    charts.redis(shared_namespace)
    version = charts.version_release(shared_namespace, "v1", folder)
    charts.installed_by_kuberay(version, values)
    charts.road(shared_namespace, folder, v1=100)
    return version


def test_it_answers_through_the_gateway(url: str) -> None:
    said = [{"role": "user", "content": "Hello!"}]
    question = {"model": traffic.MODEL, "messages": said, "max_tokens": 8}

    answer = httpx.post(f"{url}/v1/chat/completions", json=question, timeout=60, trust_env=False)

    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.headers["x-model-version"] == "v1"


def test_it_answers_under_the_one_name(release: Release) -> None:
    said = release.cluster.helm("test", release.name, "--logs", "--timeout=120s")

    assert "Phase:          Succeeded" in said


def pods(cluster: Cluster, ray_cluster: str, kind: str) -> list[Object]:
    selector = f"ray.io/cluster={ray_cluster},ray.io/node-type={kind}"
    found: list[Object] = cluster.get("pods", "", "--selector", selector)["items"]
    return found


def serving(cluster: Cluster) -> str:
    """Name of the RayCluster that KubeRay takes for the version's."""
    return str(
        cluster.get("rayservice", "glm-v1")["status"]["activeServiceStatus"]["rayClusterName"]
    )


def test_its_pods_outlast_streams_and_the_head_its_workers(release: Release) -> None:
    (head,), (worker,) = (
        pods(release.cluster, serving(release.cluster), kind) for kind in ("head", "worker")
    )
    graces = [each["spec"]["terminationGracePeriodSeconds"] for each in (worker, head)]

    assert charts.MAX_STREAM_S < graces[0] < graces[1]


def test_a_budget_lets_one_pod_go_at_a_time(release: Release) -> None:
    budget = release.cluster.get("poddisruptionbudget", "glm-v1")["status"]

    assert budget["disruptionsAllowed"] == 1


def test_a_lost_head_is_not_noticed(release: Release, url: str) -> None:
    """Redis has its control store, and workers alone carry users."""
    (head,) = pods(release.cluster, serving(release.cluster), "head")
    name = head["metadata"]["name"]

    def kill() -> None:
        release.cluster.kubectl("delete", "pod", name, "--force", "--grace-period=0")

    with outage.of(url, kill, watch_s=WATCH_S) as seen:
        pass

    outage.note(seen.row("KubeRay's head killed, with Redis"))
    assert seen.users.faults() == []
    (head,) = pods(release.cluster, serving(release.cluster), "head")
    release.cluster.wait(f"pod/{head['metadata']['name']}", "condition=Ready", READY_S)


def test_an_upgrade_and_the_end_of_the_old_cluster_cut_nothing(
    release: Release, values: charts.Values, url: str
) -> None:
    cluster = release.cluster
    old = serving(cluster)
    with traffic.flowing(url, rate=1, streams=STREAMS, tokens=TOKENS) as users:
        release.apply(charts.merged(values, {"config": {"engine": {"max_running": 48}}}))
        until(lambda: serving(cluster) not in {"", old}, "a second cluster", READY_S)
        until(lambda: not pods(cluster, old, "worker"), "the end of the first's worker", END_S)
        until(lambda: not pods(cluster, old, "head"), "the end of its head", END_S)

    assert users.faults() == []
    assert len(users.answers) > STREAMS
    (worker,) = pods(cluster, serving(cluster), "worker")
    assert "max_running: 48" in worker["metadata"]["annotations"]["glm-serve.io/config"]
