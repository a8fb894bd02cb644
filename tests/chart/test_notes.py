"""What helm tells whoever has just installed a version."""

import re

import pytest

from tests.chart import helm

NANO = helm.chart("glm-model") / "ci" / "nano-values.yaml"


def notes(*arguments: str) -> str:
    named = ("glm-v1", str(helm.chart("glm-model")), "--namespace", "glm")
    done = helm.run("install", *named, "--values", NANO, "--dry-run=client", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def commands(told: str) -> list[str]:
    return re.findall(r"^   ((?:kubectl|helm) .+)$", told, re.MULTILINE)


def test_the_next_steps_are_to_wait_to_ask_and_to_lead_users_there() -> None:
    assert commands(notes()) == [
        "kubectl -n glm rollout status deployment/glm-v1-head",
        "helm -n glm test glm-v1",
        "kubectl glm release v1 -n glm",
        "helm -n glm install glm-road helm/glm-road --set stable=v1",
    ]


def test_nobody_is_told_to_wait_for_a_version_without_pods() -> None:
    (only,) = commands(notes("--set", "suspended=true"))

    assert only.endswith("--set suspended=false")


@pytest.mark.parametrize("workloads", ["plain", "rayservice"])
def test_a_version_with_workers_is_waited_for_by_what_holds_it(workloads: str) -> None:
    held = f"workloads={workloads},workers.enabled=true,ray.authSecret=ray"

    waiting = commands(notes("--set", held))[0]

    assert ("rayservice/glm-v1" if workloads == "rayservice" else "glm-v1-worker") in waiting
