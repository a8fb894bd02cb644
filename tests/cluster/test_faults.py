"""What breaks under users: how many notice, how long, and that it mends itself."""

import pytest

from tests.cluster import charts, outage, pods
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster, Refused

pytestmark = pytest.mark.timeout(1200)

WATCH_S = 150
HEADS = "app.kubernetes.io/component=head"
HEAD = "deployment/glm-v1-head"


@pytest.fixture(scope="module")
def release(
    shared_namespace: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Release:
    """A version of one pod behind the gateway: what has the least to fall back on."""
    folder = tmp_path_factory.mktemp("values")
    charts.platform(shared_namespace, image, folder)
    version = charts.version_release(shared_namespace, "v1", folder)
    version.install(charts.nano("v1", image))
    charts.road(shared_namespace, folder, v1=100)
    return version


@pytest.fixture
def whole(release: Release) -> Cluster:
    """The cluster with its version serving, from a pod that nothing has happened to.

    Kubernetes starts a container that ends again and again later each time.
    """
    cluster = release.cluster
    rolled_out(cluster)
    if pods.ends(cluster, pod(cluster))[0]:
        cluster.kubectl("delete", "pod", pod(cluster))
        rolled_out(cluster)
    return cluster


def rolled_out(cluster: Cluster) -> None:
    cluster.kubectl("rollout", "status", HEAD, f"--timeout={charts.READY_S}s")


def pod(cluster: Cluster) -> str:
    """The one that is to stay."""
    (found,) = pods.staying(cluster, HEADS)
    return str(found["metadata"]["name"])


def unserved(seen: outage.Outage) -> list[str]:
    """All that failed, questions and streams, begun before it or after."""
    return [each.fault for kind in ("question", "stream") for each in seen.failed(kind)]


def mended(cluster: Cluster, seen: outage.Outage) -> bool:
    """The last users were served, and the pod is ready."""
    rolled_out(cluster)
    last = sorted(seen.began_after(), key=lambda each: each.began)[-3:]
    return bool(last) and not any(each.fault for each in last)


def test_nobody_notices_that_the_only_pod_is_told_to_go(whole: Cluster, url: str) -> None:
    def leave() -> None:
        whole.kubectl("delete", "pod", pod(whole), "--wait=false")

    with outage.of(url, leave, watch_s=WATCH_S) as seen:
        pass

    outage.note(seen.row("the only pod deleted"))
    assert unserved(seen) == []
    assert mended(whole, seen)


def test_a_killed_container_comes_back_by_itself(whole: Cluster, url: str) -> None:
    def kill() -> None:
        pods.crash(whole, pod(whole))

    with outage.of(url, kill, watch_s=WATCH_S) as seen:
        pass

    outage.note(seen.row("Ray's control store killed in the only pod"))
    assert mended(whole, seen)


def test_a_container_that_was_killed_for_its_memory_comes_back_by_itself(
    whole: Cluster, url: str
) -> None:
    name = pod(whole)
    with outage.of(url, lambda: pods.starve(whole, name, whole=True), watch_s=WATCH_S) as seen:
        pass

    outage.note(seen.row("the container of the only pod OOM-killed"))
    assert mended(whole, seen)
    assert pods.ends(whole, name) == (1, "OOMKilled")


def test_a_pod_in_which_something_was_killed_for_its_memory_mends_itself(
    whole: Cluster, url: str
) -> None:
    """The kernel chooses who goes, and Ray offers it its workers first."""
    name = pod(whole)
    with outage.of(url, lambda: pods.starve(whole, name, whole=False), watch_s=WATCH_S) as seen:
        pass

    outage.note(seen.row("a process of the only pod out of memory"))
    assert mended(whole, seen)
    assert pods.starved(whole, name) or pods.ends(whole, name)[1] == "OOMKilled"


def test_nobody_notices_that_the_only_pod_moves_when_its_node_is_drained(
    whole: Cluster, url: str
) -> None:
    node = whole.get("pod", pod(whole))["spec"]["nodeName"]

    def drain() -> None:
        """Not to its end, which is the last answer's; then the node opens as if it were another."""
        with pytest.raises(Refused, match=r"time|deadline"):
            whole.kubectl(
                *("drain", node, f"--pod-selector={HEADS}", "--delete-emptydir-data"),
                *("--ignore-daemonsets", "--timeout=2s"),
            )
        whole.kubectl("uncordon", node)

    with outage.of(url, drain, watch_s=WATCH_S) as seen:
        pass

    outage.note(seen.row("the only pod evicted from its node"))
    assert unserved(seen) == []
    assert mended(whole, seen)
