"""The images of the pipeline's jobs, built whole, and used as a runner uses them.

A runner starts a job's image with a shell in place of its entry point, in the project's folder. On
a cluster elsewhere GLM_TOOLS_IMAGE and GLM_CODE_IMAGE name what was built there.
"""

import os
import secrets

import pytest

from tests.cluster.kube import Cluster, Object
from tests.cluster.node import base, builder, places
from tests.cluster.node.builder import REGISTRY, Build
from tests.cluster.node.steps import step

pytestmark = pytest.mark.timeout(1800)  # Helm is compiled, the first time
FOLDER = places.REPOSITORY / "ci" / "tools"
PROJECT = "/builds/glm"
SCRIPTS = {
    "tools": """
        set -e
        helm version --short
        buildctl --version
        git --version
        kubectl-glm --help | grep rollback
        kubectl-glm evaluate --help | grep golden
        python3 -m ci.release --help | grep settle
    """,
    "code": """
        set -e
        "$HELM" version --short
        git --version
        make --version
        gcc --version
    """,
}


def built(target: str) -> str:
    """By the builder of the test cluster, where its pods find it."""
    if given := os.environ.get(f"GLM_{target.upper()}_IMAGE"):
        return given
    wanted = Build(
        f"glm-{target}:1",
        context=FOLDER,
        dockerfile=FOLDER / "Dockerfile",
        target=target,
        arguments={"BASE": base.image(), "BUILD_PACKAGES": "python3-venv"},
    )
    with builder.running(), step(f"building the image of jobs ({target})"):
        return f"{REGISTRY}/glm-{target}@{builder.build(wanted)}"


def job(image: str, script: str) -> Object:
    """As Kubernetes' executor of GitLab makes one, but that the project lies on the node."""
    container = {
        "name": "build",
        "image": image,
        "command": ["sh", "-c", script],
        "workingDir": PROJECT,
        "env": [{"name": "PYTHONPATH", "value": "."}],
        "volumeMounts": [{"name": "project", "mountPath": PROJECT, "readOnly": True}],
    }
    project = {"name": "project", "hostPath": {"path": str(places.REPOSITORY)}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"job-{secrets.token_hex(4)}"},
        "spec": {"restartPolicy": "Never", "containers": [container], "volumes": [project]},
    }


@pytest.mark.parametrize("target", SCRIPTS)
def test_a_job_finds_in_its_image_what_it_calls(cluster: Cluster, target: str) -> None:
    said = cluster.pod_output(job(built(target), SCRIPTS[target]))

    assert "v4.2.4" in said
    assert "git version" in said
