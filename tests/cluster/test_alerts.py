"""A real Prometheus takes the rules of the platform and computes every one of them."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.chart import helm
from tests.cluster.kube import Cluster, Object

NAME = "glm-alerts.yaml"
PATIENCE_S = 120  # a kubelet brings a changed ConfigMap within a minute


@pytest.fixture(scope="module")
def prometheus(cluster: Cluster) -> Iterator[str]:
    with cluster.within("monitoring").forwarded("service/prometheus", 9090) as url:
        yield url


@pytest.fixture(scope="module")
def rules() -> Object:
    values = helm.chart("glm-platform") / "ci" / "default-values.yaml"
    spec: Object = helm.the("PrometheusRule", "glm", helm.objects("glm-platform", values))["spec"]
    return spec


@pytest.mark.timeout(300)
def test_prometheus_computes_every_rule(cluster: Cluster, prometheus: str, rules: Object) -> None:
    wanted = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    given(cluster, {NAME: yaml.safe_dump(rules)})
    try:
        states = computed(prometheus, wanted)
    finally:
        given(cluster, {NAME: None})

    assert {name: state for name, state in states.items() if state != "ok"} == {}
    assert states.keys() >= wanted


def given(cluster: Cluster, data: dict[str, str | None]) -> None:
    patch = json.dumps({"data": data})
    monitoring = cluster.within("monitoring")
    monitoring.kubectl("patch", "configmap", "prometheus-rules", "--type=merge", "--patch", patch)


def computed(url: str, wanted: set[str]) -> dict[str, str]:
    """Health of each rule by name, when all that are wanted have been computed once."""
    deadline = time.monotonic() + PATIENCE_S
    states: dict[str, str] = {}
    while time.monotonic() < deadline:
        httpx.post(f"{url}/-/reload", trust_env=False)
        answer = httpx.get(f"{url}/api/v1/rules", trust_env=False).json()
        found = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        states = {rule["name"]: rule["health"] for rule in found}
        if wanted <= states.keys() and all(states[name] != "unknown" for name in wanted):
            return states
        time.sleep(5)
    return states
