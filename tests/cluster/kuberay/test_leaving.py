"""What docs/operations.md says of the end of a version with Redis, in its own words."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cluster import charts
from tests.cluster.charts import Release, Values
from tests.cluster.kube import Cluster
from tests.cluster.node import places
from tests.cluster.roads import until

pytestmark = [pytest.mark.timeout(1500), pytest.mark.usefixtures("operator")]

GONE_S = 600.0
LEAVING = re.compile(
    r"^\$ (kubectl .* delete rayservice .*\n)\$ (kubectl .*\n)\$ (helm uninstall .*)$", re.MULTILINE
)
LETTING_GO = re.compile(r"^\$ (kubectl .* get rayclusters .*\\\n)(.*)$", re.MULTILINE)


@pytest.fixture
def values(image: str) -> Values:
    return charts.nano_by_kuberay("v1", image, ray={"redis": {"address": "redis:6379"}})


@pytest.fixture
def release(namespace: Cluster, tmp_path: Path) -> Release:
    """Not yet installed, beside a Redis."""
    charts.redis(namespace)
    return charts.version_release(namespace, "v1", tmp_path)


def clusters(namespace: Cluster) -> list[dict[str, list[str]]]:
    return [each["metadata"] for each in namespace.get("rayclusters")["items"]]


def keys(namespace: Cluster) -> int:
    return int(namespace.kubectl("exec", "redis", "--", "redis-cli", "dbsize"))


def test_a_version_that_goes_after_its_pods_leaves_nothing_in_redis(
    release: Release, values: Values
) -> None:
    charts.installed_by_kuberay(release, values)
    assert keys(release.cluster) > 0

    typed(LEAVING, release.cluster)

    assert keys(release.cluster) == 0
    assert clusters(release.cluster) == []


def test_a_namespace_that_hangs_is_let_go_as_the_document_says(
    release: Release, values: Values
) -> None:
    namespace = release.cluster
    release.apply(values)
    until(lambda: any("finalizers" in each for each in clusters(namespace)), "a finalizer")

    namespace.kubectl("delete", "namespace", namespace.namespace, "--wait=false")
    until(lambda: all("deletionTimestamp" in each for each in clusters(namespace)), "told to go")
    typed(LETTING_GO, namespace)

    namespace.wait(f"namespace/{namespace.namespace}", "delete", GONE_S)


def typed(told: "re.Pattern[str]", namespace: Cluster) -> None:
    text = (places.REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    (parts,) = told.findall(text)
    command = "".join(parts).replace("--namespace glm", f"--namespace {namespace.namespace}")
    environment = os.environ | {
        "KUBECONFIG": str(namespace.kubeconfig),
        "PATH": f"{places.BIN}:{os.environ['PATH']}",
    }
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], env=environment, check=True)
