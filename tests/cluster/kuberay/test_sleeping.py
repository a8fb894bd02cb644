"""A cold version that KubeRay holds sleeps without pods, and the pipeline's own words wake it."""

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml

from ci.release import charts as pipeline
from ci.release.candidate import warm
from tests.cluster import charts, traffic
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster, Object
from tests.cluster.node import places
from tests.cluster.roads import until

pytestmark = pytest.mark.timeout(1500)

TOKENS = 1000
ASLEEP_S = 2 * charts.MAX_STREAM_S + 300.0  # its last answers, its head after them, KubeRay's Job
AWAKE = "10m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("values")


@pytest.fixture(scope="module")
def release(operator: Cluster, shared_namespace: Cluster, image: str, folder: Path) -> Release:
    """Version v1, with Redis, behind the gateway."""
    charts.platform(shared_namespace, image, folder)
    charts.redis(shared_namespace)
    version = charts.version_release(shared_namespace, "v1", folder)
    values = charts.nano_by_kuberay("v1", image, ray={"redis": {"address": "redis:6379"}})
    charts.installed_by_kuberay(version, values)
    charts.road(shared_namespace, folder, v1=100)
    return version


@pytest.fixture
def job(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs find the cluster as a job of the pipeline does."""
    own = yaml.safe_load(release.cluster.kubeconfig.read_text(encoding="utf-8"))
    for each in own["contexts"]:
        each["context"]["namespace"] = release.cluster.namespace
    own["current-context"] = own["contexts"][0]["name"]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(own), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.setenv("PATH", f"{places.BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(places.REPOSITORY)


def is_leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def pods(cluster: Cluster) -> list[Object]:
    found: list[Object] = cluster.get("pods", "", "--selector=glm-serve.io/version=v1")["items"]
    return found


def condition(cluster: Cluster, name: str) -> str:
    told = cluster.get("rayservice", "glm-v1")["status"].get("conditions", [])
    return next((str(each["status"]) for each in told if each["type"] == name), "")


def keys(cluster: Cluster) -> int:
    return int(cluster.kubectl("exec", "redis", "--", "redis-cli", "dbsize"))


def told_a_story(url: str, meanwhile: Callable[[], None]) -> str:
    """The last line of a long stream; `meanwhile` is done after its first."""
    said = [{"role": "user", "content": "Tell me a long story."}]
    wish = {"max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    body = {"model": traffic.MODEL, "messages": said, **wish}
    chat = f"{url}/v1/chat/completions"
    with httpx.stream("POST", chat, json=body, timeout=60, trust_env=False) as response:
        lines = response.iter_lines()
        last = next(lines)
        meanwhile()
        for line in lines:
            last = line or last
    return last


@pytest.mark.usefixtures("job")
def test_it_falls_asleep_without_cutting_a_stream_and_leaves_nothing_in_redis(
    release: Release, url: str
) -> None:
    cluster = release.cluster

    def fall_asleep() -> None:
        pipeline.suspend("v1")
        until(lambda: all(is_leaving(each) for each in pods(cluster)), "pods that leave")

    assert told_a_story(url, fall_asleep) == "data: [DONE]"
    until(lambda: condition(cluster, "Suspended") == "True", "sleep", ASLEEP_S)
    until(lambda: pods(cluster) == [], "the end of the pod of KubeRay's Job too")
    assert keys(cluster) == 0


@pytest.mark.usefixtures("job")
def test_it_wakes_and_answers(release: Release, url: str) -> None:
    pipeline.hold("v1", AWAKE)
    warm("v1", url=url, timeout=AWAKE)

    assert condition(release.cluster, "Ready") == "True"
    assert "Phase:          Succeeded" in release.cluster.helm("test", release.name)
