"""A release keeps its version, a version its model and what holds it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.chart import helm, live
from tests.chart.helm import Object, of_kind, the

EXAMPLES = helm.chart("glm-model") / "ci"
PLAIN, RAY = EXAMPLES / "gpu-plain-values.yaml", EXAMPLES / "gpu-rayservice-values.yaml"
KUBERAY = ("--api-versions", "ray.io/v1")
AUTO = ("--set", "workloads=auto")


@pytest.fixture(scope="module")
def plain() -> dict[str, Object]:
    """What v42 is to a chart that looks for it."""
    among = helm.objects("glm-model", PLAIN, release="glm")
    services = {"items": of_kind("Service", among)}
    return {"Service": services, "head": the("Deployment", "glm-v42-head", among)}


@pytest.fixture(scope="module")
def kuberays() -> dict[str, Object]:
    (service,) = of_kind("RayService", helm.objects("glm-model", RAY, release="glm"))
    return {"RayService": service}


def upgraded(
    values: Path, found: Mapping[str, Object], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    given = ("--namespace", "glm", "--is-upgrade", "--values", values)
    return helm.run("template", "glm", live.finding(found, folder), *given, *arguments)


def kinds(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr
    return {each["kind"] for each in yaml.safe_load_all(done.stdout) if each}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("version=v43", "install v43 as a release of its own, helm install glm-v43."),
        ("workloads=rayservice", "install those as another version."),
    ],
)
def test_an_upgrade_that_would_end_the_version_is_refused(
    change: str, sentence: str, plain: dict[str, Object], tmp_path: Path
) -> None:
    done = upgraded(PLAIN, plain, tmp_path, "--set", change, *KUBERAY)

    assert done.returncode != 0
    assert sentence in done.stderr


def test_the_same_version_is_upgraded(plain: dict[str, Object], tmp_path: Path) -> None:
    """Services of others are there as well."""
    stranger = {"metadata": {"name": "kubernetes"}}
    found = plain | {"Service": {"items": [stranger, *plain["Service"]["items"]]}}

    assert "Deployment" in kinds(upgraded(PLAIN, found, tmp_path))


def test_auto_keeps_what_holds_the_version(plain: dict[str, Object], tmp_path: Path) -> None:
    """Somebody else may install KubeRay."""
    assert "RayService" not in kinds(upgraded(PLAIN, plain, tmp_path, *AUTO, *KUBERAY))


def test_auto_keeps_a_rayservice(kuberays: dict[str, Object], tmp_path: Path) -> None:
    assert "RayService" in kinds(upgraded(RAY, kuberays, tmp_path, *AUTO, *KUBERAY))


ANOTHER = "model.digest=" + "3" * 64
MODELS = [
    (ANOTHER, f"model.digest of version {{version}} is {'2' * 64} for good, and not {'3' * 64}"),
    ("model.name=GLM-5", "model.name of version {version} is GLM-4-9B-0414 for good"),
]


@pytest.mark.parametrize(("change", "sentence"), MODELS)
def test_a_version_keeps_its_model(
    change: str, sentence: str, plain: dict[str, Object], tmp_path: Path
) -> None:
    done = upgraded(PLAIN, plain, tmp_path, "--set", change)

    assert done.returncode != 0
    assert sentence.format(version="v42") in done.stderr
    assert "If v42 has never served, helm uninstall glm first." in done.stderr


@pytest.mark.parametrize(("change", "sentence"), MODELS)
def test_so_does_one_that_kuberay_holds(
    change: str, sentence: str, kuberays: dict[str, Object], tmp_path: Path
) -> None:
    done = upgraded(RAY, kuberays, tmp_path, "--set", change, *KUBERAY)

    assert done.returncode != 0
    assert sentence.format(version="v43") in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        "config.engine.max_running=8",
        "image.digest=sha256:" + "3" * 64,
        "suspended=true",
        "model.digest=sha256:" + "2" * 64,
    ],
)
def test_all_else_of_it_may_change(change: str, plain: dict[str, Object], tmp_path: Path) -> None:
    assert "Deployment" in kinds(upgraded(PLAIN, plain, tmp_path, "--set", change))


def test_a_model_is_chosen_freely_where_there_is_none_yet(tmp_path: Path) -> None:
    """As a first install does, and whoever only renders: nothing is found."""
    assert "Deployment" in kinds(upgraded(PLAIN, {}, tmp_path, "--set", ANOTHER))
