"""Steps before Ray bring the model, but not to the Job that KubeRay makes of the head's pod."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.chart import helm
from tests.chart.helm import Object, of_kind

RAY = helm.chart("glm-model") / "ci" / "gpu-rayservice-values.yaml"
COMMIT = "model.hub.revision=" + "4" * 40
HUB = ("--set", f"model.source=hub,model.volume.claim=,model.hub.repository=a/b,{COMMIT}")
NO_REDIS = ("--set", "ray.redis.address=,ray.redis.passwordSecret.name=")


def steps(group: str, *arguments: str) -> list[Object]:
    (service,) = of_kind("RayService", helm.objects("glm-model", RAY, *arguments))
    cluster = service["spec"]["rayClusterConfig"]
    spec = cluster["headGroupSpec"] if group == "head" else cluster["workerGroupSpecs"][0]
    found: list[Object] = spec["template"]["spec"]["initContainers"]
    return found


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """With a glm-serve that only tells what it is asked."""
    program = tmp_path / "glm-serve"
    program.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return tmp_path


def told(step: Object, node_type: str, bin_folder: Path) -> str:
    (named,) = (each for each in step["env"] if each["name"] == "KUBERAY_NODE_TYPE")
    assert named["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['ray.io/node-type']"
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*step["command"], *step["args"]],
        env={"PATH": path, "KUBERAY_NODE_TYPE": node_type},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_job_that_empties_redis_brings_no_model_first(bin_folder: Path) -> None:
    """It has five minutes, and what a hub sends in them is not seen by anybody."""
    pull, verify = steps("head", *HUB)

    assert [told(each, "redis-cleanup", bin_folder) for each in (pull, verify)] == ["", ""]


def test_a_head_brings_it_as_ever(bin_folder: Path) -> None:
    for step in steps("head", *HUB):
        assert told(step, "head", bin_folder).split() == step["args"]


def test_nobody_else_is_asked_what_he_is() -> None:
    for others in (steps("worker", *HUB), steps("head", *HUB, *NO_REDIS)):
        assert all("command" not in each for each in others)
