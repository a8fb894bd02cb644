"""A version that is kept to go back to holds what the road asks, and no less than its own."""

import pytest
import yaml

from tests.chart import helm
from tests.chart.helm import Object, of_kind

CI = helm.chart("glm-model") / "ci"
LEAST, MOST = 2, 6
OWN = f"--set=replicas.min={LEAST},replicas.max={MOST}"
GROWING = {
    "plain": CI / "gpu-plain-values.yaml",
    "keda": CI / "keda-values.yaml",
    "rayservice": CI / "gpu-rayservice-values.yaml",
}


def kept(held: str, replicas: int, *more: str) -> list[Object]:
    return helm.objects("glm-model", GROWING[held], OWN, f"--set=replicas.kept={replicas}", *more)


def bounds(among: list[Object]) -> tuple[int, int]:
    """Of whoever gives workers to the version."""
    for each in of_kind("HorizontalPodAutoscaler", among):
        return each["spec"]["minReplicas"], each["spec"]["maxReplicas"]
    for each in of_kind("ScaledObject", among):
        return each["spec"]["minReplicaCount"], each["spec"]["maxReplicaCount"]
    for each in of_kind("RayService", among):
        (group,) = each["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        assert group["replicas"] == group["minReplicas"]
        return group["minReplicas"], group["maxReplicas"]
    (number,) = (
        each["spec"]["replicas"]
        for each in of_kind("Deployment", among)
        if each["metadata"]["name"].endswith("-worker")
    )
    return number, number


def served(among: list[Object]) -> tuple[int, int]:
    """What Serve is told in every pod."""
    told = {
        each["metadata"]["annotations"]["glm-serve.io/config"]
        for each in helm.pod_templates(among)
        if "glm-serve.io/config" in each["metadata"].get("annotations", {})
    }
    (text,) = told
    replicas = yaml.safe_load(text)["replicas"]
    return replicas["model_min"], replicas["model_max"]


@pytest.mark.parametrize("held", GROWING)
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(0, (LEAST, MOST)), (1, (LEAST, MOST)), (4, (4, MOST)), (6, (6, 6)), (8, (8, 8))],
)
def test_a_kept_version_has_what_the_road_asks_and_no_less_than_its_own(
    held: str, wanted: int, expected: tuple[int, int]
) -> None:
    among = kept(held, wanted)

    assert bounds(among) == expected
    assert served(among) == expected


def test_a_version_of_a_fixed_number_has_more_while_it_is_kept() -> None:
    fixed = "--set=replicas.min=1,replicas.max=1"

    assert bounds(kept("plain", 3, fixed)) == (3, 3)
    assert bounds(kept("plain", 0, fixed)) == (1, 1)


def test_a_budget_holds_as_many_of_a_rayservice() -> None:
    (budget,) = of_kind("PodDisruptionBudget", kept("rayservice", 4))

    assert budget["spec"]["minAvailable"] == 4


def test_a_kept_version_that_sleeps_has_no_pods() -> None:
    among = kept("plain", 4, "--set=suspended=true")

    assert {each["spec"]["replicas"] for each in of_kind("Deployment", among)} == {0}
