"""A version may begin to grow, or wake: until something scales it, it has the workers it needs."""

from pathlib import Path

import pytest

from tests.cluster import charts
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster
from tests.cluster.roads import until

NOWHERE = "localhost:5000/glm-serve@sha256:" + "0" * 64  # pods need not run to be counted
FIXED = {"replicas": {"min": 3, "max": 3}}
LEAST = 2
GROWING = {"replicas": {"min": LEAST, "max": 6}, "autoscaling": {"metrics": "external"}}


@pytest.fixture
def release(namespace: Cluster, tmp_path: Path) -> Release:
    return charts.version_release(namespace, "v1", tmp_path)


def workers(release: Release) -> int:
    return int(release.cluster.get("deployment", "glm-v1-worker")["spec"]["replicas"])


def test_growth_begins_with_the_workers_there_are(release: Release) -> None:
    release.apply(charts.nano_with_workers("v1", NOWHERE, **FIXED))
    assert workers(release) == 3

    release.apply(charts.nano_with_workers("v1", NOWHERE, **GROWING))
    assert workers(release) == 3

    release.apply(charts.nano_with_workers("v1", NOWHERE, **GROWING, drain={"notice": 6}))
    assert workers(release) == 3


def test_what_an_autoscaler_has_written_is_its_own(release: Release) -> None:
    release.apply(charts.nano_with_workers("v1", NOWHERE, **GROWING))
    release.cluster.kubectl("scale", "deployment/glm-v1-worker", "--replicas=5")

    release.apply(charts.nano_with_workers("v1", NOWHERE, **GROWING, drain={"notice": 6}))

    assert workers(release) == 5


@pytest.mark.parametrize(("own", "least"), [(FIXED, 3), (GROWING, LEAST)])
def test_a_kept_version_has_the_workers_that_its_road_asks_for(
    release: Release, own: charts.Values, least: int
) -> None:
    """The autoscaler holds the new least number, whoever has written the number of workers."""
    awake = charts.nano_with_workers("v1", NOWHERE, **own)
    release.apply(awake)
    until(lambda: workers(release) == least, "its own workers")

    release.apply(charts.merged(awake, {"replicas": {"kept": 4}}))
    until(lambda: workers(release) == 4, "four workers")


def test_a_woken_version_has_its_workers_again(release: Release) -> None:
    """The autoscaler leaves alone what is at none."""
    awake = charts.nano_with_workers("v1", NOWHERE, **GROWING)
    release.apply(awake)
    release.apply(awake | {"suspended": True})
    assert workers(release) == 0

    release.apply(awake)

    assert workers(release) >= LEAST
