"""A value that is taken away by null is as one that is empty; a policy never opens for it."""

import pytest

from tests.chart import helm
from tests.chart.helm import Object, objects, of_kind

VALUES = helm.chart("glm-platform") / "ci" / "default-values.yaml"


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("gateway.https.secret", ()),
        ("gateway.hostname", ()),
        ("gateway.className", ("gateway.create=false", "gateway.retries.install=never")),
        ("ingress.service", ()),
        ("ingress.tlsSecret", ("ingress.enabled=true", "ingress.service=a", "ingress.hosts={a}")),
        ("controller.prometheus", ("controller.enabled=false",)),
    ],
)
def test_a_text_taken_away_is_an_empty_one(name: str, beside: tuple[str, ...]) -> None:
    arguments = [f"--set={each}" for each in beside]

    taken_away = objects("glm-platform", VALUES, *arguments, f"--set={name}=null")

    assert taken_away == objects("glm-platform", VALUES, *arguments, f"--set={name}=")


@pytest.mark.parametrize(
    "name", ["dnsPorts", "apiPorts", "extraDns", "extraIngress", "extraEgress"]
)
def test_a_key_that_an_older_release_lacks_opens_nothing(name: str) -> None:
    """As after `helm upgrade --reuse-values`: a rule without ports is for all."""
    lacking = f"--set=networkPolicies.{name}=null"

    assert policies(lacking) == policies()


def test_pull_secrets_taken_away_are_none() -> None:
    values = helm.chart("glm-model") / "ci" / "gpu-plain-values.yaml"

    taken_away = objects("glm-model", values, "--set=image.pullSecrets=null")

    assert taken_away == objects("glm-model", values, "--set-json=image.pullSecrets=[]")


@pytest.mark.parametrize("ports", ["null", "[]"])
def test_a_version_told_of_no_port_of_the_hub_reaches_none(ports: str) -> None:
    given = ("--set=extraEnv=null", f"--set-json=networkPolicy.hubPorts={ports}")
    values = helm.chart("glm-model") / "ci" / "gpu-plain-values.yaml"
    (policy,) = of_kind("NetworkPolicy", objects("glm-model", values, *given))

    rules = policy["spec"]["egress"]

    assert all(rule.get("to") or rule["ports"] for rule in rules)


def policies(*arguments: str) -> list[Object]:
    return of_kind("NetworkPolicy", objects("glm-platform", VALUES, *arguments))
