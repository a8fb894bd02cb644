"""The cluster that the other tests stand on."""

import json

import pytest

from tests.cluster.kube import Cluster, Refused
from tests.cluster.pods import pod
from tests.cluster.roads import until

_RESOLVE = "import socket; print(socket.gethostbyname('kubernetes.default.svc.cluster.local'))"


def test_its_node_is_ready(cluster: Cluster) -> None:
    (node,) = cluster.get("nodes")["items"][:1]
    states = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    assert states["Ready"] == "True"


def test_a_pod_finds_services_by_their_names(namespace: Cluster, image: str) -> None:
    asked = pod("asks", image, command=["python3", "-c", _RESOLVE])
    service = namespace.within("default").get("service", "kubernetes")
    assert namespace.pod_output(asked).strip() == service["spec"]["clusterIP"]


def test_its_gateway_class_is_accepted(cluster: Cluster) -> None:
    until(lambda: "True" in accepted(cluster), "its controller has seen it")


def accepted(cluster: Cluster) -> list[str]:
    """What is said of each class."""
    return [
        condition["status"]
        for each in cluster.get("gatewayclasses")["items"]
        for condition in each.get("status", {}).get("conditions", [])
        if condition["type"] == "Accepted"
    ]


def test_an_unrestricted_pod_is_refused_where_restricted_is_enforced(
    namespace: Cluster, image: str
) -> None:
    asked = pod("asks", image)
    del asked["spec"]["containers"][0]["securityContext"]
    with pytest.raises(Refused, match="violates PodSecurity"):
        namespace.kubectl("apply", "--dry-run=server", "--filename=-", given=json.dumps(asked))
