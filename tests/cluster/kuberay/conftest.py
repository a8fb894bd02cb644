"""Where a KubeRay operator is at work."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cluster.kube import Cluster, Object

LEASE = "ray-operator-leader"


@pytest.fixture(scope="module")
def operator(cluster: Cluster) -> Cluster:
    """The cluster, if an operator leads in it, wherever that runs."""
    leases = cluster.get("leases", "", "--all-namespaces")["items"]
    if not any(each["metadata"]["name"] == LEASE and is_held(each) for each in leases):
        pytest.skip("no KubeRay operator leads in this cluster: RayService was NOT tried")
    return cluster


def is_held(lease: Object) -> bool:
    renewed = datetime.fromisoformat(lease["spec"]["renewTime"])
    return datetime.now(UTC) - renewed < timedelta(seconds=60)
