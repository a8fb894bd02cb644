"""With how many workers a version begins that something will scale; test_model has the rest."""

from pathlib import Path

import pytest
import yaml

from tests.chart import helm, live
from tests.chart.helm import Object, the

PLAIN = helm.chart("glm-model") / "ci" / "gpu-plain-values.yaml"  # two to six workers
KEDA = helm.chart("glm-model") / "ci" / "keda-values.yaml"


def worker(replicas: int, *writers: str) -> Object:
    """As the API server tells it, with who has written the number."""
    fields = {"f:spec": {"f:replicas": {}}}
    written = [{"manager": each, "fieldsV1": fields} for each in writers]
    return {"metadata": {"managedFields": written}, "spec": {"replicas": replicas}}


def begun(values: Path, found: Object, folder: Path) -> int | None:
    """What helm writes; None if it leaves the number to others."""
    done = helm.run(
        *("template", "glm-v42", live.finding({"worker": found}, folder), "--namespace", "glm"),
        *("--values", values),
    )
    assert done.returncode == 0, done.stderr
    among = [each for each in yaml.safe_load_all(done.stdout) if each]
    name = f"glm-{yaml.safe_load(values.read_text(encoding='utf-8'))['version']}-worker"
    return the("Deployment", name, among)["spec"].get("replicas")


@pytest.mark.parametrize("values", [PLAIN, KEDA], ids=lambda values: values.stem)
def test_a_woken_version_begins_with_its_least_number(values: Path, tmp_path: Path) -> None:
    """An HPA leaves alone what is at none, and `helm --wait` is content with none of none."""
    least = yaml.safe_load(values.read_text(encoding="utf-8"))["replicas"]["min"]

    assert begun(values, worker(0, "helm"), tmp_path) == least


@pytest.mark.parametrize("there", [3, 8])
def test_growth_begins_with_the_workers_there_are(there: int, tmp_path: Path) -> None:
    assert begun(PLAIN, worker(there, "helm"), tmp_path) == there


def test_what_helm_has_written_twice_is_one_number(tmp_path: Path) -> None:
    """By an update once, of Helm 3, and by apply since."""
    assert begun(PLAIN, worker(3, "helm", "helm"), tmp_path) == 3


@pytest.mark.parametrize("there", [0, 5])  # none: a person has switched the autoscaler off
def test_what_another_has_written_is_left_to_it(there: int, tmp_path: Path) -> None:
    assert begun(PLAIN, worker(there, "kube-controller-manager"), tmp_path) is None
