"""Runs the real helm; where there is none it is built once, into the cache of the test cluster."""

import fcntl
import os
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.node import places, tools

ROOT = Path(__file__).parents[2]
CHARTS = ("glm-model", "glm-platform", "glm-road")

Object = dict[str, Any]


@cache
def binary() -> str:
    """HELM of the environment, or the pinned one of the test cluster (two minutes, the first time).

    What lies on the PATH may be of any version: renderings differ between versions.
    """
    if named := os.environ.get("HELM"):
        return named
    places.CACHE.mkdir(parents=True, exist_ok=True)
    with (places.CACHE / "helm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        tools.require(tools.HELM)
    return str(places.BIN / "helm")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Without a cluster, and without plugins or repositories of whoever runs it."""
    nowhere = str(places.CACHE / "nowhere")
    lonely = {f"HELM_{kind}_HOME": nowhere for kind in ("CACHE", "CONFIG", "DATA")}
    return subprocess.run(
        [binary(), *arguments],
        env=os.environ | lonely | {"KUBECONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


def chart(name: str) -> Path:
    return ROOT / "helm" / name


def examples(name: str) -> list[Path]:
    """Values files that a chart is held to."""
    return sorted(chart(name).glob("ci/*-values.yaml"))


def template(
    name: str, values: Path, *arguments: str, release: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Render as of a release in the namespace glm, of the chart's name if it has none."""
    place = ("--namespace", "glm", "--values", str(values))
    return run("template", release or name, str(chart(name)), *place, *arguments)


def objects(name: str, values: Path, *arguments: str, release: str | None = None) -> list[Object]:
    """What would be applied, the pods of `helm test` too."""
    done = template(name, values, *arguments, release=release)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(kind: str, among: Sequence[Object]) -> list[Object]:
    return [each for each in among if each["kind"] == kind]


def the(kind: str, name: str, among: Sequence[Object]) -> Object:
    """The one object of that kind and name."""
    (found,) = (each for each in of_kind(kind, among) if each["metadata"]["name"] == name)
    return found


def pod_templates(among: Sequence[Object]) -> list[Object]:
    """Metadata and spec of every pod there will be, KubeRay's too."""
    found = [each for each in among if each["kind"] == "Pod"]
    for each in among:
        spec = each.get("spec", {})
        if each["kind"] in {"Deployment", "Job"}:
            found.append(spec["template"])
        if each["kind"] == "RayService":
            cluster = spec["rayClusterConfig"]
            groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
            found.extend(group["template"] for group in groups)
    return found
