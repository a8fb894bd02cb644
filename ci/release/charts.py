"""Versions as Helm keeps them: one release each, named after its version."""

import json
from pathlib import Path
from typing import Any

import yaml

from ci.release.programs import run
from ci.release.retention import Pods
from k8s.road.route import service_of

CHART = Path("helm/glm-model")
# The number of pods is ours: who scaled a version by hand is overruled.
_OURS = "--force-conflicts"


def chart_version() -> str:
    """Of the chart that lies here."""
    told: dict[str, str] = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    return told["version"]


def install(version: str, values: Path, image: tuple[str, str], timeout: str) -> None:
    """Beside the others, where nothing leads to it yet; wait until its Deployments are ready."""
    repository, digest = image
    run(
        *("helm", "upgrade", "--install", service_of(version), str(CHART), _OURS),
        f"--values={values}",
        f"--set-string=version={version}",
        f"--set-string=image.repository={repository}",
        f"--set-string=image.digest={digest}",
        *("--wait", f"--timeout={timeout}"),
    )


def installed() -> dict[str, bool]:
    """Versions that Helm knows, suspended ones too: whether their last change came to its end."""
    found = json.loads(run("helm", "list", "--output=json"))
    return {
        each["name"].removeprefix("glm-"): each["status"] == "deployed"
        for each in found
        if each["chart"].startswith(CHART.name)
    }


def pods(version: str, *, done: bool) -> Pods:
    """As Helm wrote them last; `done` as `installed` says it."""
    values: dict[str, Any] = json.loads(
        run("helm", "get", "values", service_of(version), "--all", "--output=json")
    )
    replicas = values.get("replicas", {})
    return Pods(
        suspended=bool(values.get("suspended")),
        own=replicas.get("min", 1),
        kept=replicas.get("kept", 0),
        done=done,
    )


def suspend(version: str) -> None:
    """Its pods end their last answers; all else stays."""
    _change(version, "suspended=true")


def hold(version: str, timeout: str, kept: int = 0) -> None:
    """It has pods, for so many replicas at least; wait until its Deployments are ready.

    Both are said, always: where a waking failed, Helm begins with the values from before it.
    """
    values = f"suspended=false,replicas.kept={kept}"
    _change(version, values, "--wait", f"--timeout={timeout}")


def uninstall(version: str) -> None:
    """Its pods end their last answers first."""
    run("helm", "uninstall", service_of(version))


def _change(version: str, values: str, *more: str) -> None:
    run(
        *("helm", "upgrade", service_of(version), str(CHART), _OURS, "--reset-then-reuse-values"),
        f"--set={values}",
        *more,
    )
