"""From nothing to the first answer through the Gateway, and from one content to another."""

import re
import shutil
from pathlib import Path

import httpx
import pytest

from tests.cluster import charts, pods, traffic
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster, Object, Refused
from tests.cluster.roads import until

pytestmark = pytest.mark.timeout(2400)  # Ray starts several times, on two cores

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


@pytest.fixture
def steady(release: Release, image: str) -> Release:
    """As it was installed, whatever the test before left."""
    release.install(charts.nano("v1", image))
    return release


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
    said = release.cluster.helm("test", release.name, "--logs", f"--timeout={charts.READY_S}s")

    assert "Phase:          Succeeded" in said


def revision(release: Release) -> int:
    return int(release.cluster.helm("status", release.name).split("REVISION: ")[1].split()[0])


def heads(version: str) -> str:
    return f"app.kubernetes.io/component=head,glm-serve.io/version={version}"


def pod(cluster: Cluster) -> Object:
    """The one that is to stay; others may still end their last answers."""
    (found,) = pods.staying(cluster, heads("v1"))
    return found


def content(cluster: Cluster) -> tuple[str, bool]:
    """Its image, and whether it reads the other settings."""
    found = pod(cluster)
    reading = "print(open('/etc/glm-serve/config.yaml').read())"
    settings = cluster.kubectl("exec", found["metadata"]["name"], "--", "python3", "-c", reading)
    return found["spec"]["containers"][0]["image"], "max_running" in settings


OTHER: charts.Values = {"engine": {"max_running": 48}}


def test_new_settings_cut_nothing_nor_does_the_way_back(
    steady: Release, image: str, url: str
) -> None:
    good = revision(steady)
    with traffic.flowing(url, rate=1, streams=STREAMS, tokens=TOKENS) as users:
        steady.install(charts.nano("v1", image, config=OTHER))
        assert content(steady.cluster) == (image, True)
        steady.rollback(good)
        assert content(steady.cluster) == (image, False)

    assert users.faults() == []
    assert len(users.answers) > STREAMS


def test_a_new_image_cuts_nothing_nor_does_undo_which_brings_the_settings_back_too(
    steady: Release, image: str, next_image: str, url: str
) -> None:
    kubectl = steady.cluster.kubectl
    with traffic.flowing(url, rate=1, streams=STREAMS, tokens=TOKENS) as users:
        steady.install(charts.nano("v1", next_image, config=OTHER))
        assert content(steady.cluster) == (next_image, True)
        kubectl("rollout", "undo", HEAD)
        kubectl("rollout", "status", HEAD, f"--timeout={charts.READY_S}s")
        assert content(steady.cluster) == (image, False)

    assert users.faults() == []


def test_a_new_chart_alone_restarts_nothing(
    steady: Release, image: str, folder: Path, url: str
) -> None:
    """From the chart before this one, whose pods are the same."""
    older = shutil.copytree(steady.chart, folder / "glm-model")
    told = (older / "Chart.yaml").read_text(encoding="utf-8")
    (older / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*$", "version: 0.0.1", told))
    Release(steady.cluster, steady.name, older, folder).install(charts.nano("v1", image))
    before = pod(steady.cluster)

    steady.install(charts.nano("v1", image))

    assert pod(steady.cluster)["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"image": {"digest": "sha256:" + "0" * 64}}, "ErrImagePull|ImagePullBackOff"),
        ({"replicas": {"gpus": 64}}, "Insufficient nvidia.com/gpu"),
        ({"extraEnv": [{"name": "GLM_ENGINE__PAGE_TOKEN", "value": "1"}]}, "did you mean"),
    ],
    ids=["an image that is not there", "GPUs that nobody has", "bad settings"],
)
def test_a_bad_upgrade_leaves_the_old_pod_serving_and_says_why(
    steady: Release, image: str, url: str, more: charts.Values, reason: str
) -> None:
    good = revision(steady)
    with traffic.flowing(url, rate=1, streams=2, tokens=TOKENS) as users:
        with pytest.raises(Refused) as refusal:
            steady.install(charts.nano("v1", image, **more), wait_s=40)
        until(lambda: re.search(reason, why(steady.cluster)) is not None, f"a pod with {reason}")
        steady.rollback(good)

    assert "not ready" in str(refusal.value)
    assert users.faults() == []


def test_another_model_is_refused_before_anything_begins(steady: Release, image: str) -> None:
    before = revision(steady)

    with pytest.raises(Refused, match="install another model as another version"):
        steady.install(charts.nano("v1", image, model={"digest": "0" * 64}))

    assert revision(steady) == before


def test_a_version_of_a_wrong_digest_never_serves_and_says_why(
    steady: Release, image: str, folder: Path
) -> None:
    other = charts.version_release(steady.cluster, "v2", folder)

    with pytest.raises(Refused, match="not ready"):
        other.install(charts.nano("v2", image, model={"digest": "0" * 64}), wait_s=40)

    until(lambda: "model.digest wants" in why(steady.cluster, "v2"), "a pod that says so")
    with pytest.raises(Refused, match="helm uninstall glm-v2 first"):
        other.install(charts.nano("v2", image))
    steady.cluster.helm("uninstall", other.name)


def why(cluster: Cluster, version: str = "v1") -> str:
    """What an operator looks at: the pods, their events, the last words of a container."""
    newest = cluster.kubectl(
        *("get", "pods", "--selector", heads(version), "--sort-by=.metadata.creationTimestamp"),
        "--output=name",
    ).split()[-1]
    described = cluster.kubectl("describe", newest)
    try:
        return described + cluster.kubectl("logs", newest, "--tail=20")
    except Refused:
        return described  # it never ran
