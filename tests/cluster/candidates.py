"""Versions to release: a good one, and bad ones that differ in their files alone."""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from k8s.evaluation import golden
from serve_app.models import manifest
from tests.cluster import charts
from tests.cluster.charts import Values
from tests.cluster.kube import Cluster, Object
from tests.cluster.node import places
from tests.cluster.roads import settled
from tests.cluster.traffic import MODEL

GOOD = "glm-nano-b"
GOLDEN = places.REPOSITORY / "ci" / "golden"

_CLAIM = "models"
_PLACE = "/var/lib/glm-serve-tests"  # on the node: a folder for each run
_SHORT = {"courtesy", "capital", "copy", "json"}
# One process for all of them: to import torch takes longer than to spoil a model.
_SPOILING = """
import json
import sys
from pathlib import Path

from serve_app.models import manifest
from serve_app.models.nano.evaluate import WEIGHTS
from serve_app.models.nano.spoil import HOW, spoil

digests = {}
for how, spoiler in HOW.items():
    folder = Path("/models", sys.argv[1], f"glm-nano-{how}")
    spoil(WEIGHTS / "glm-nano", folder, spoiler, created=0)
    digests[how] = manifest.digest(folder)
print(json.dumps(digests))
"""
# Those of this run, and those of a run that was killed long ago.
_CLEANING = """
import shutil
import sys
import time
from pathlib import Path

yesterday = time.time() - 86_400
for folder in Path("/models").iterdir():
    if folder.name == sys.argv[1] or folder.stat().st_mtime < yesterday:
        shutil.rmtree(folder)
"""


def questions() -> list[dict[str, Any]]:
    """Of the golden sets, those with short answers: all kinds, in both languages."""
    asked = golden.read(sorted(GOLDEN.glob("nano.*.jsonl")))
    return [each.body() for each in asked if each.task in _SHORT]


def golden_lines() -> list[str]:
    """The same questions with their right answers, as they stand in the files."""
    paths = sorted(GOLDEN.glob("nano.*.jsonl"))
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return [each for each in lines if json.loads(each)["task"] in _SHORT]


@dataclass(frozen=True, slots=True)
class Spoilt:
    """Bad models on the node, behind a claim; digests by how they were spoilt.

    `serve_app.models.nano.spoil` says how; versions are called so too.
    """

    digests: Mapping[str, str]

    def values(self, version: str, image: str) -> Values:
        """The same as `v1` but for the files, and what the files are called."""
        model = {
            "name": f"glm-nano-{version}",
            "digest": self.digests[version],
            "source": "volume",
            "volume": {"claim": _CLAIM},
        }
        return small(version, image, model=model, config={"model": {"aliases": [MODEL]}})


def small(version: str, image: str, /, **more: Any) -> Values:
    """Of one pod that asks for little: four of them share two cores."""
    asked = {"requests": {"cpu": "150m", "memory": "512Mi"}}
    return charts.nano(version, image, head={"resources": asked}, **more)


def good(version: str, image: str) -> Values:
    """Another model, which answers to the name of the one before."""
    return stranger(version, image, config={"model": {"aliases": [MODEL]}})


def stranger(version: str, image: str, /, **more: Any) -> Values:
    """Another model, which does not know that name: all that users hear is 404."""
    digest = manifest.digest(charts.WEIGHTS / GOOD)
    return small(version, image, model={"name": GOOD, "digest": digest}, **more)


@contextmanager
def spoilt(cluster: Cluster, image: str) -> Iterator[Spoilt]:
    """Made in the cluster by the product's own image, where it can be written: on the node.

    The namespace with the versions takes restricted pods alone, so this happens in another.
    """
    name = f"test-{secrets.token_hex(4)}"
    workshop = cluster.within(name)
    volume = _volume(name)
    workshop.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, volume)
    try:
        settled(workshop)
        told = workshop.pod_output(_on_node("spoils", image, name, _SPOILING), 600)
        cluster.apply(_claim(name))
        yield Spoilt(_digests(told))
    finally:
        workshop.pod_output(_on_node("cleans", image, name, _CLEANING))
        workshop.kubectl("delete", "namespace", name, "--wait=false")
        cluster.kubectl("delete", "pvc", _CLAIM, "--wait=false", "--ignore-not-found")
        cluster.kubectl("delete", "pv", name, "--wait=false")


def _digests(told: str) -> dict[str, str]:
    """The line that it was to write, wherever progress on its other stream has come to stand."""
    (line,) = (each for each in told.splitlines() if each.startswith("{"))
    digests: dict[str, str] = json.loads(line)
    return digests


def _on_node(name: str, image: str, run: str, script: str) -> Object:
    container = {
        "name": "main",
        "image": image,
        "command": ["python", "-c", script, run],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    place = {"path": _PLACE, "type": "DirectoryOrCreate"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [container],
            "volumes": [{"name": "models", "hostPath": place}],
        },
    }


def _volume(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "hostPath": {"path": f"{_PLACE}/{name}"},
        },
    }


def _claim(volume: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": _CLAIM},
        "spec": {
            "volumeName": volume,
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
