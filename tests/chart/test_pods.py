"""Every pod of every chart may do as little as it can, and says what it takes."""

import pytest

from tests.chart import helm
from tests.chart.helm import Object


@pytest.fixture(
    params=[(name, values) for name in helm.CHARTS for values in helm.examples(name)],
    ids=lambda example: f"{example[0]} {example[1].stem}",
)
def pods(request: pytest.FixtureRequest) -> list[Object]:
    """Templates of all pods of one example."""
    name, values = request.param
    return helm.pod_templates(helm.objects(name, values))


def containers(pods: list[Object]) -> list[Object]:
    return [
        container
        for pod in pods
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    ]


def test_pods_are_what_the_restricted_standard_asks(pods: list[Object]) -> None:
    """Kubernetes' Pod Security Standard `restricted`."""
    for pod in pods:
        whole = pod["spec"]["securityContext"]
        assert whole["runAsNonRoot"]
        assert whole["runAsUser"] > 0
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys()


def test_containers_cannot_gain_rights_nor_write_their_image(pods: list[Object]) -> None:
    for container in containers(pods):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_containers_say_what_they_take(pods: list[Object]) -> None:
    for container in containers(pods):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


def test_secrets_come_by_reference_alone(pods: list[Object]) -> None:
    variables = [each for container in containers(pods) for each in container.get("env", [])]
    words = ("TOKEN", "PASSWORD", "SECRET")

    secret = [each for each in variables if each["name"].endswith(words)]

    assert [each for each in secret if "value" in each] == []


def test_liveness_never_waits_for_a_model(pods: list[Object]) -> None:
    """A pod that loads, or is busy, must not be killed for it."""
    for container in containers(pods):
        assert container.get("livenessProbe", {}).get("httpGet", {}).get("path") != "/ready"


def test_pods_that_ask_the_api_for_nothing_have_no_token_for_it(pods: list[Object]) -> None:
    """Controller, scorer and evaluator do; the head of a growing RayService holds an autoscaler."""
    asking = {"glm-controller", "glm-scorer", "glm-evaluator", None}
    for pod in pods:
        account = pod["spec"].get("serviceAccountName")
        assert account in asking or pod["spec"]["automountServiceAccountToken"] is False


def test_nothing_a_pod_writes_is_without_bound(pods: list[Object]) -> None:
    """Else one pod's logs evict its neighbours."""
    volumes = [volume for pod in pods for volume in pod["spec"].get("volumes", [])]
    scratch = [volume["emptyDir"] for volume in volumes if "emptyDir" in volume]

    assert scratch or not pods
    assert all("sizeLimit" in each for each in scratch)
