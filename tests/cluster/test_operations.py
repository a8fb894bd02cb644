"""Every command of docs/operations.md works as it stands there, one after the other."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cluster import charts
from tests.cluster.kube import Cluster
from tests.cluster.node import places

pytestmark = pytest.mark.timeout(1800)  # it starts pods seven times

DOCUMENT = places.REPOSITORY / "docs" / "operations.md"
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"^`(\S+\.yaml)`.*?^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_every_command_of_the_document_works(cluster: Cluster, image: str, tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    name = "test-operations"
    for file, content in FILE.findall(text):
        values = as_here(yaml.safe_load(content), image, brings_roads=not knows_roads(cluster))
        (tmp_path / file).write_text(yaml.safe_dump(values), encoding="utf-8")
    (tmp_path / "helm").symlink_to(charts.HELM)
    environment = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig),
        "PATH": f"{places.BIN}{os.pathsep}{os.environ['PATH']}",
    }
    try:
        for block in COMMANDS.findall(text):
            done = subprocess.run(
                ["bash", "-euxo", "pipefail", "-c", within(name, block)],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def knows_roads(cluster: Cluster) -> bool:
    """Another test has brought the definition of ModelRoad, and it is not helm's to take over."""
    return "modelroads.glm-serve.io" in cluster.kubectl("get", "crds", "--output=name")


def as_here(values: charts.Values, image: str, *, brings_roads: bool) -> charts.Values:
    """With the digests of this tree, and the gateway of the test cluster."""
    mine = charts.nano("v1", image)
    here: charts.Values = {"image": mine["image"]}
    if "gateway" in values:
        here |= {"gateway": {"className": "envoy"}, "crds": {"enabled": brings_roads}}
    if "model" in values:
        here |= {"model": {"digest": mine["model"]["digest"]}, "config": mine["config"]}
        here |= {"startup": mine["startup"]}
    return charts.merged(values, here)


def within(name: str, block: str) -> str:
    return re.sub(r"(namespace )glm\b", rf"\1{name}", block)
