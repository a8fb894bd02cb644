"""The cluster of the environment (KUBECONFIG), or one that is brought up on this machine.

Elsewhere GLM_IMAGE names the product's image, by digest, where that cluster can pull it, and
GLM_NEXT_IMAGE another build of it; GLM_REDIS_IMAGE names a Redis.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import candidates, charts, pods, traffic
from tests.cluster.candidates import Spoilt
from tests.cluster.charts import Release
from tests.cluster.kube import Cluster
from tests.cluster.node import cluster as own
from tests.cluster.node import places, product
from tests.cluster.roads import settled, until
from tests.cluster.stage import Stage, staged

HERE = Path(__file__).parent
FIRST_S = 900
_RESTRICTED = {
    f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test is the first to need the image has it built."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FIRST_S))


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """It stays up for the next run; `make cluster-down` ends it."""
    if given := os.environ.get("KUBECONFIG"):
        return Cluster(Path(given))
    own.up()
    return Cluster(places.KUBECONFIG)


@pytest.fixture(scope="session")
def image(cluster: Cluster) -> str:
    """The product's, of this tree, by its digest; no test waits until a node has unpacked it."""
    name = os.environ.get("GLM_IMAGE") or product.image()
    cluster.pod_output(pods.pod(f"unpacks-{secrets.token_hex(4)}", name, command=["true"]), FIRST_S)
    return name


@pytest.fixture(scope="session")
def next_image(image: str) -> str:
    """The same code under another digest, as the next build of a pipeline has one."""
    return os.environ.get("GLM_NEXT_IMAGE") or product.image("next", REVISION="next")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Cluster]:
    """A new one that takes nothing but restricted pods."""
    yield from _namespace(cluster)


@pytest.fixture(scope="module")
def shared_namespace(cluster: Cluster) -> Iterator[Cluster]:
    """Likewise, for all tests of a file."""
    yield from _namespace(cluster)


@pytest.fixture(scope="module")
def url(release: Release) -> Iterator[str]:
    """Of the gateway in front of the version that a file's own `release` installs."""
    with charts.front_door(release.cluster) as address:
        until(lambda: traffic.answers(address), "an answer through the gateway")
        yield address


@pytest.fixture(scope="module")
def stage(
    shared_namespace: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """For releases: all but the versions."""
    with staged(shared_namespace, image, tmp_path_factory.mktemp("values")) as made:
        yield made


@pytest.fixture(scope="module")
def spoilt(stage: Stage) -> Iterator[Spoilt]:
    """Bad models that versions on that stage can serve."""
    with candidates.spoilt(stage.cluster, stage.image) as made:
        yield made


@pytest.fixture
def door(stage: Stage) -> Iterator[str]:
    """The URL of that stage's gateway on this machine."""
    with charts.front_door(stage.cluster) as url:
        yield url


def _namespace(cluster: Cluster) -> Iterator[Cluster]:
    name = f"test-{secrets.token_hex(4)}"
    metadata = {"name": name, "labels": _RESTRICTED}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    settled(cluster.within(name))
    yield cluster.within(name)
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
