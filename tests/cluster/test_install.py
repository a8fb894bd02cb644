"""From nothing to the first answer through the Gateway, and from one content to another."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cluster import charts, traffic
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster, Refused

pytestmark = pytest.mark.timeout(1200)  # Ray starts several times, on two cores

STREAMS = 20
TOKENS = 400
HEAD = "deployment/glm-v1-head"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("values")


@pytest.fixture(scope="module")
def release(shared_namespace: Cluster, image: str, folder: Path) -> Release:
    """Version v1 behind the gateway."""
    charts.platform(shared_namespace, image, folder)
    version = charts.version_release(shared_namespace, "v1", folder)
    version.install(charts.nano("v1", image))
    charts.road(shared_namespace, folder, v1=100)
    return version


@pytest.fixture(scope="module")
def url(release: Release) -> Iterator[str]:
    with charts.front_door(release.cluster) as address:
        yield address


def test_three_installs_answer_through_the_gateway(url: str) -> None:
    question = {
        "model": traffic.MODEL,
        "messages": [{"role": "user", "content": "Hello!"}],
        "max_tokens": 8,
    }

    answer = httpx.post(f"{url}/v1/chat/completions", json=question, timeout=60, trust_env=False)

    assert answer.status_code == httpx.codes.OK, answer.text
    assert answer.json()["choices"][0]["message"]["content"]
    assert answer.headers["x-model-version"] == "v1"


def test_helm_test_asks_the_model_something(release: Release) -> None:
    said = release.cluster.helm("test", release.name, "--logs", "--timeout=120s")

    assert "Phase:          Succeeded" in said


def changed(release: Release, image: str, max_running: int) -> None:
    release.install(charts.nano("v1", image, config={"engine": {"max_running": max_running}}))


def revision(release: Release) -> int:
    return int(release.cluster.helm("status", release.name).split("REVISION: ")[1].split()[0])


def test_a_new_configuration_cuts_nothing_nor_does_the_way_back(
    release: Release, image: str, url: str
) -> None:
    before = revision(release)
    with traffic.flowing(url, rate=1, streams=STREAMS, tokens=TOKENS) as users:
        changed(release, image, 48)
        release.rollback(before)

    assert users.faults() == []
    assert len(users.answers) > STREAMS


def test_a_new_image_cuts_nothing_nor_does_undo(
    release: Release, next_image: str, url: str
) -> None:
    kubectl = release.cluster.kubectl
    old = images(release.cluster)
    with traffic.flowing(url, rate=1, streams=STREAMS, tokens=TOKENS) as users:
        release.install(charts.nano("v1", next_image))
        assert images(release.cluster) == {next_image}
        kubectl("rollout", "undo", HEAD)
        kubectl("rollout", "status", HEAD, f"--timeout={charts.READY_S}s")

    assert users.faults() == []
    template = release.cluster.get("deployment", "glm-v1-head")["spec"]["template"]
    assert {template["spec"]["containers"][0]["image"]} == old


def images(cluster: Cluster) -> set[str]:
    """Of pods that are to stay."""
    heads = "app.kubernetes.io/component=head"
    pods = cluster.get("pods", "", "--selector", heads)["items"]
    return {
        pod["spec"]["containers"][0]["image"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
    }


def test_undo_brings_the_settings_back_too(release: Release, image: str) -> None:
    release.install(charts.nano("v1", image))
    changed(release, image, 40)
    assert "max_running: 40" in settings(release.cluster)

    release.cluster.kubectl("rollout", "undo", HEAD)

    release.cluster.kubectl("rollout", "status", HEAD, f"--timeout={charts.READY_S}s")
    assert "max_running" not in settings(release.cluster)


def settings(cluster: Cluster) -> str:
    """What the pod that serves reads."""
    file = "/etc/glm-serve/config.yaml"
    return cluster.kubectl("exec", HEAD, "--", "python3", "-c", f"print(open('{file}').read())")


def test_a_new_chart_alone_restarts_nothing(
    release: Release, image: str, folder: Path, url: str
) -> None:
    """From the chart before this one, whose pods are the same."""
    release.install(charts.nano("v1", image))
    older = shutil.copytree(release.chart, folder / "glm-model")
    description = (older / "Chart.yaml").read_text(encoding="utf-8")
    (older / "Chart.yaml").write_text(description.replace("\nversion: 0.", "\nversion: 0.0."))
    Release(release.cluster, release.name, older, folder).install(charts.nano("v1", image))
    before = pods(release.cluster)

    release.install(charts.nano("v1", image))

    assert pods(release.cluster) == before


def pods(cluster: Cluster) -> set[str]:
    return {each["metadata"]["uid"] for each in cluster.get("pods")["items"]}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"image": {"digest": "sha256:" + "0" * 64}}, "ErrImagePull|ImagePullBackOff"),
        ({"model": {"digest": "0" * 64}}, "model.digest wants"),
        ({"replicas": {"gpus": 64}}, "Insufficient nvidia.com/gpu"),
        ({"extraEnv": [{"name": "GLM_ENGINE__PAGE_TOKEN", "value": "1"}]}, "did you mean"),
    ],
    ids=["an image that is not there", "a wrong model", "GPUs that nobody has", "bad settings"],
)
def test_a_bad_upgrade_leaves_the_old_pod_serving_and_says_why(
    release: Release, image: str, url: str, more: charts.Values, reason: str
) -> None:
    release.install(charts.nano("v1", image))
    good = revision(release)
    with traffic.flowing(url, rate=1, streams=2, tokens=TOKENS) as users:
        with pytest.raises(Refused) as refusal:
            release.install(charts.nano("v1", image, **more), wait_s=45)
        told = why(release.cluster)
        release.rollback(good)

    assert "not ready" in str(refusal.value)
    assert any(word in told for word in reason.split("|")), told
    assert users.faults() == []


def why(cluster: Cluster) -> str:
    """What an operator looks at: the pods, their events, the last words of a container."""
    heads = "app.kubernetes.io/component=head"
    newest = cluster.kubectl(
        *("get", "pods", "--selector", heads, "--sort-by=.metadata.creationTimestamp"),
        "--output=name",
    ).split()[-1]
    described = cluster.kubectl("describe", newest)
    try:
        return described + cluster.kubectl("logs", newest, "--tail=20")
    except Refused:
        return described  # it never ran
