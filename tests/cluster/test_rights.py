"""The API server lets each service account do what it needs, and nothing else."""

import re

import pytest

from tests.cluster import charts
from tests.cluster.kube import Cluster
from tests.cluster.roads import until

Rights = dict[str, set[str]]

ACCOUNTS: dict[str, Rights] = {
    "glm-controller": {
        "modelroads.glm-serve.io": {"get", "list", "watch"},
        "modelroads.glm-serve.io/status": {"update"},
        "httproutes.gateway.networking.k8s.io": {"get", "create", "update"},
        "leases.coordination.k8s.io": {"get", "create", "update"},
        "events": {"create"},
        "configmaps": {"get", "list", "create"},
        "services": {"list"},
        "pods": {"list"},
        "endpointslices.discovery.k8s.io": {"list"},
    },
    "glm-scorer": {"modelroads.glm-serve.io": {"get", "list"}},
    "glm-v1": {},
}
# Everybody may ask about himself; that is no right of ours.
OF_EVERYBODY = "self"
# Resource, then URLs, names and verbs, each in brackets; rows of URLs begin with a blank.
ROW = re.compile(r"^(\S+) +\[.*?\] +\[.*?\] +\[(.*?)\]$", re.MULTILINE)


@pytest.fixture(scope="module")
def installed(
    shared_namespace: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Cluster:
    """Platform and version; accounts are there at once, and need no pods."""
    folder = tmp_path_factory.mktemp("values")
    controller = {"enabled": True, "replicas": 1, "prometheus": "http://prometheus.monitoring:9090"}
    values: charts.Values = {
        "image": charts.image_values(image),
        "gateway": {"create": False},
        "controller": controller,
        "scorer": {"enabled": True},
        "crds": {"enabled": False},
    }
    for name, chart, given in (
        ("glm-platform", "glm-platform", values),
        ("glm-v1", "glm-model", charts.nano("v1", image, suspended=True)),
    ):
        release = charts.Release(shared_namespace, name, charts.HELM / chart, folder)
        release.apply(given)
    return shared_namespace


def rights(cluster: Cluster, account: str, *where: str) -> Rights:
    """All that the API server says it may do."""
    user = f"--as=system:serviceaccount:{cluster.namespace}:{account}"
    said = cluster.kubectl("auth", "can-i", "--list", "--no-headers", user, *where)
    found: Rights = {}
    for resource, verbs in ROW.findall(said):
        if not resource.startswith(OF_EVERYBODY):
            found.setdefault(resource, set()).update(verbs.split())
    return found


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_may_do_what_it_needs_and_nothing_else(installed: Cluster, account: str) -> None:
    """What the API server has just been told it knows a moment later."""
    until(lambda: rights(installed, account) == ACCOUNTS[account], f"the rights of {account}")


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_account_reaches_another_namespace(installed: Cluster, account: str) -> None:
    assert rights(installed, account, "--namespace=default") == {}


def test_the_table_that_is_read_is_not_empty(installed: Cluster) -> None:
    """An administrator's is not, read in the same way."""
    said = installed.kubectl("auth", "can-i", "--list", "--no-headers")

    assert ("*.*", "*") in ROW.findall(said)
