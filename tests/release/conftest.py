"""A cluster over HTTP, with a road and two versions.

rouge-score brings absl, whose log handler closes what was sys.stderr when it was imported as soon
as anybody configures logging; under pytest that is the file where output is captured.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import logging as absl_logging

from k8s.cluster import Cluster, connect
from k8s.road.resource import render_spec
from tests.release.api_server import Shelf, kubeconfig, serving
from tests.release.roads import spec_of

ROADS = "/apis/glm-serve.io/v1alpha1/namespaces/{namespace}/modelroads"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
SERVICES = "/api/v1/namespaces/{namespace}/services"

absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    with serving() as running:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(running, tmp_path)))
        monkeypatch.setattr(
            "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION",
            str(tmp_path / "kubeconfig"),
        )
        for name in ("v1", "v2"):
            running.place(SERVICES, f"glm-{name}")
            running.place(
                SLICES,
                f"glm-{name}-abcde",
                labels={"kubernetes.io/service-name": f"glm-{name}"},
                endpoints=[{"conditions": {"ready": True}}, {"conditions": {"ready": False}}],
            )
        running.place(ROADS, "glm", spec=render_spec(spec_of()))
        yield running


@pytest.fixture
def cluster(shelf: Shelf) -> Cluster:
    return Cluster(connect())
