"""The API server lets each service account do what it needs, and nothing else."""

import pytest

from tests.cluster import charts
from tests.cluster.kube import Cluster, Refused

NEEDED = {
    "glm-controller": (
        "list modelroads.glm-serve.io",
        "watch modelroads.glm-serve.io",
        "update modelroads.glm-serve.io --subresource=status",
        "create httproutes.gateway.networking.k8s.io",
        "update httproutes.gateway.networking.k8s.io",
        "update leases.coordination.k8s.io",
        "create events",
        "create configmaps",
        "list endpointslices.discovery.k8s.io",
        "list pods",
    ),
    "glm-evaluator": ("create configmaps", "update configmaps"),
    "glm-v1": (),
}
FORBIDDEN = (
    "get secrets",
    "create pods",
    "create pods --subresource=exec",
    "delete pods",
    "update deployments.apps",
    "create rolebindings.rbac.authorization.k8s.io",
    "delete configmaps",
    "delete httproutes.gateway.networking.k8s.io",
    "delete modelroads.glm-serve.io",
    "update modelroads.glm-serve.io",
    "impersonate users",
)
# Everybody may ask these; they are no rights of ours.
OF_EVERYBODY = "selfsubject"


@pytest.fixture(scope="module")
def installed(
    shared_namespace: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Cluster:
    """Platform and version, without waiting for pods: accounts are there at once."""
    folder = tmp_path_factory.mktemp("values")
    controller = {"enabled": True, "replicas": 1, "prometheus": "http://prometheus.monitoring:9090"}
    values: charts.Values = {
        "image": charts.image_values(image),
        "gateway": {"create": False},
        "controller": controller,
        "crds": {"enabled": False},
    }
    for name, chart, given in (
        ("glm-platform", "glm-platform", values),
        ("glm-v1", "glm-model", charts.nano("v1", image)),
    ):
        release = charts.Release(shared_namespace, name, charts.HELM / chart, folder)
        release.apply(given)
    return shared_namespace


def may(cluster: Cluster, account: str, what: str) -> bool:
    user = f"--as=system:serviceaccount:{cluster.namespace}:{account}"
    try:
        return cluster.kubectl("auth", "can-i", *what.split(), user).strip() == "yes"
    except Refused:
        return False  # that is how kubectl says no


@pytest.mark.parametrize("account", NEEDED)
def test_an_account_may_do_what_it_needs(installed: Cluster, account: str) -> None:
    assert [what for what in NEEDED[account] if not may(installed, account, what)] == []


@pytest.mark.parametrize("account", NEEDED)
def test_an_account_may_do_nothing_else(installed: Cluster, account: str) -> None:
    assert [what for what in FORBIDDEN if may(installed, account, what)] == []


def test_models_may_do_nothing_at_all(installed: Cluster) -> None:
    user = f"--as=system:serviceaccount:{installed.namespace}:glm-v1"
    lines = installed.kubectl("auth", "can-i", "--list", "--no-headers", user).splitlines()

    rights = [line for line in lines if line.strip() and not line.startswith(" ")]

    assert [line for line in rights if OF_EVERYBODY not in line] == []


def test_no_account_reaches_another_namespace(installed: Cluster) -> None:
    elsewhere = f"--namespace=default --as=system:serviceaccount:{installed.namespace}"

    for what in ("list pods", "get configmaps", "list modelroads.glm-serve.io"):
        with pytest.raises(Refused):
            installed.kubectl(
                "auth", "can-i", *what.split(), *f"{elsewhere}:glm-controller".split()
            )
