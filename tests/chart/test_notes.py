"""What helm tells whoever has just installed a version."""

import re
import shlex

import pytest

from k8s import wishes
from k8s.road import Version
from k8s.road.order import Order
from tests.chart import helm
from tests.release.roads import Walk

NANO = helm.chart("glm-model") / "ci" / "nano-values.yaml"
DIGEST = "2" * 64  # of the model there


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
        f"kubectl glm release v1 --model-digest {DIGEST} -n glm",
        "helm -n glm install glm-road helm/glm-road --set stable=v1",
    ]


def test_a_road_takes_the_release_that_is_told() -> None:
    """As the API server gives it a policy, by which what is released is evaluated first."""
    told = shlex.split(commands(notes("--set", "version=v9"))[2])
    name, digest = told[3], told[told.index("--model-digest") + 1]
    walk = Walk()
    walk.look()
    assert walk.road.spec.policy.evaluate.required

    wish = wishes.release(walk.road, Order(version=Version(name=name, model_digest=digest)))

    assert wish["candidate"] == "v9"


def test_nobody_is_told_to_wait_for_a_version_without_pods() -> None:
    (only,) = commands(notes("--set", "suspended=true"))

    assert only.endswith("--set suspended=false")


@pytest.mark.parametrize("workloads", ["plain", "rayservice"])
def test_a_version_with_workers_is_waited_for_by_what_holds_it(workloads: str) -> None:
    held = f"workloads={workloads},workers.enabled=true,ray.authSecret=ray"

    waiting = commands(notes("--set", held))[0]

    assert ("rayservice/glm-v1" if workloads == "rayservice" else "glm-v1-worker") in waiting


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("controller.enabled=true", "--set stable=v1"),
        ("controller.enabled=false", "--set controller.enabled=false --set weights.v1=100"),
        (
            "gateway.create=false,gateway.retries.install=never",
            "--set gateway.name=NAME --set gateway.namespace=NAMESPACE",
        ),
    ],
)
def test_a_platform_tells_the_road_that_it_will_walk(value: str, told: str) -> None:
    chart = helm.chart("glm-platform")
    given = ("--namespace", "glm", "--values", chart / "ci" / "default-values.yaml")
    done = helm.run("install", "glm-platform", chart, *given, "--dry-run=client", "--set", value)

    assert commands(done.stdout)[-1].endswith(told)
