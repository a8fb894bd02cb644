"""Nothing reaches anything but what the platform is made of."""

import pytest

from tests.chart import helm
from tests.chart.helm import Object, of_kind
from tests.chart.network import Peer, allowed


def labels(release: str, component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "glm-model",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/component": component,
    }


HEAD, WORKER = Peer(labels("glm-v42", "head")), Peer(labels("glm-v42", "worker"))
OTHER_VERSION = Peer(labels("glm-v43", "worker"))
CONTROLLER = Peer(
    {
        "app.kubernetes.io/name": "glm-platform",
        "app.kubernetes.io/instance": "glm-platform",
        "app.kubernetes.io/component": "controller",
    }
)
NEIGHBOUR = Peer({"app": "anything"})  # in the same namespace
GATEWAY = Peer({"app": "envoy"}, "envoy-gateway-system")
PROMETHEUS = Peer({"app": "prometheus"}, "monitoring")
OPERATOR = Peer({"app": "kuberay"}, "kuberay-system")
DNS = Peer({"k8s-app": "kube-dns"}, "kube-system")
STRANGER = Peer({"app": "stranger"}, "default")
OUTSIDE = Peer({}, None)  # no pod at all: the internet, or the API server

GCS, SERVE, DASHBOARD, WORKER_PORT, HTTPS, PROXY = 6379, 8000, 8265, 10050, 443, 3128
METRICS = "metrics"


@pytest.fixture(scope="module")
def policies() -> list[Object]:
    """Of the platform and of two versions, one held by KubeRay."""
    return [
        policy
        for name, release, example in (
            ("glm-platform", "glm-platform", "default"),
            ("glm-model", "glm-v42", "gpu-plain"),
            ("glm-model", "glm-v43", "gpu-rayservice"),
        )
        for policy in of_kind("NetworkPolicy", rendered(name, release, example))
    ]


def rendered(name: str, release: str, example: str) -> list[Object]:
    values = helm.chart(name) / "ci" / f"{example}-values.yaml"
    return helm.objects(name, values, release=release)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (GATEWAY, WORKER, SERVE),
        (PROMETHEUS, HEAD, SERVE),
        (NEIGHBOUR, WORKER, SERVE),  # `helm test`, an evaluation
        (WORKER, HEAD, GCS),
        (HEAD, WORKER, WORKER_PORT),
        (WORKER, DNS, 53),
        (WORKER, OUTSIDE, PROXY),  # on the way to the hub, for this version pulls
        (WORKER, OUTSIDE, 6379),  # Redis outside, a store of the platform
        (PROMETHEUS, CONTROLLER, METRICS),
        (CONTROLLER, OUTSIDE, 6443),
        (CONTROLLER, PROMETHEUS, 9090),
        (OPERATOR, OTHER_VERSION, DASHBOARD),  # held by KubeRay
    ],
)
def test_what_must_speak_may(policies: list[Object], source: Peer, target: Peer, port: int) -> None:
    assert allowed(policies, source, target, port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (GATEWAY, HEAD, GCS),
        (GATEWAY, WORKER, WORKER_PORT),
        (PROMETHEUS, HEAD, DASHBOARD),
        (STRANGER, WORKER, SERVE),
        (STRANGER, HEAD, GCS),
        (NEIGHBOUR, HEAD, GCS),
        (OTHER_VERSION, HEAD, GCS),
        (WORKER, OTHER_VERSION, WORKER_PORT),
        (CONTROLLER, HEAD, GCS),
        (OPERATOR, HEAD, DASHBOARD),  # plain workloads are none of its business
        (OTHER_VERSION, OUTSIDE, 80),
        (WORKER, STRANGER, 80),
        (NEIGHBOUR, OUTSIDE, HTTPS),
        (STRANGER, CONTROLLER, METRICS),
        (CONTROLLER, OUTSIDE, 80),
    ],
)
def test_what_need_not_speak_may_not(
    policies: list[Object], source: Peer, target: Peer, port: int
) -> None:
    assert not allowed(policies, source, target, port)


def test_a_version_reaches_the_redis_that_it_was_told_of() -> None:
    """Also where the platform knows of no store."""
    platform, told, untold = (
        of_kind("NetworkPolicy", rendered(*each))
        for each in (
            ("glm-platform", "glm-platform", "class"),
            ("glm-model", "glm-v42", "gpu-plain"),
            ("glm-model", "glm-v42", "nano"),
        )
    )

    assert allowed([*platform, *told], HEAD, OUTSIDE, GCS)
    assert not allowed([*platform, *untold], HEAD, OUTSIDE, GCS)


def test_the_controller_reaches_the_prometheus_that_it_was_told_of() -> None:
    """The port is that of its pods, or that of its address where both are one."""
    values = helm.chart("glm-platform") / "ci" / "default-values.yaml"
    elsewhere = ("--set", "controller.prometheus=http://thanos.monitoring:10902")
    policies = of_kind("NetworkPolicy", helm.objects("glm-platform", values, *elsewhere))

    reached = [
        port for port in (9090, 10902, 80) if allowed(policies, CONTROLLER, PROMETHEUS, port)
    ]

    assert reached == [9090, 10902]


@pytest.mark.parametrize("asker", ["controller", "scorer"])
def test_an_api_server_is_reached_on_the_port_it_has(asker: str) -> None:
    """Most engines judge after the Service's address was translated: 8443, 16443 and others."""
    values = helm.chart("glm-platform") / "ci" / "class-values.yaml"
    own = ("--set", "networkPolicies.apiPorts={16443}")
    policies = of_kind("NetworkPolicy", helm.objects("glm-platform", values, *own))
    pod = Peer(CONTROLLER.labels | {"app.kubernetes.io/component": asker})

    reached = [port for port in (443, 6443, 16443) if allowed(policies, pod, OUTSIDE, port)]

    assert reached == [16443]


def test_the_controller_reaches_a_prometheus_outside_by_the_way_it_was_given() -> None:
    values = helm.chart("glm-platform") / "ci" / "class-values.yaml"
    outside = (
        *("--set", "controller.prometheus=http://prometheus.example:9090"),
        *("--set-json", 'networkPolicies.extraEgress=[{"ports":[{"port":9090}]}]'),
    )
    policies = of_kind("NetworkPolicy", helm.objects("glm-platform", values, *outside))

    assert allowed(policies, CONTROLLER, OUTSIDE, 9090)
    assert not allowed(policies, NEIGHBOUR, OUTSIDE, 9090)


BALANCER = Peer({}, None, "35.191.0.7")
NODE_DNS = Peer({}, None, "169.254.20.10")
CLOUD = """{
  "extraIngress": [{"ipBlock": {"cidr": "35.191.0.0/16"}}],
  "extraDns": [{"ipBlock": {"cidr": "169.254.20.10/32"}}],
  "dnsPorts": [53, 5353]
}"""


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [(BALANCER, WORKER, SERVE), (WORKER, NODE_DNS, 53), (WORKER, DNS, 5353)],
)
def test_what_is_outside_in_a_cloud_may_be_named(
    policies: list[Object], source: Peer, target: Peer, port: int
) -> None:
    """A load balancer without pods, names told by the node itself, or on another port."""
    values = helm.chart("glm-platform") / "ci" / "default-values.yaml"
    objects = helm.objects("glm-platform", values, "--set-json", f"networkPolicies={CLOUD}")
    named = of_kind("NetworkPolicy", objects)

    assert allowed(named, source, target, port)
    assert not allowed(policies, source, target, port)
    assert not allowed(named, OUTSIDE, WORKER, SERVE)
