"""A step that fails, as a pipeline runs it: on a road without pods, led by a real controller."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.kube import Cluster
from tests.cluster.local_ci import Project, cleaned
from tests.cluster.roads import CRD, VERSIONS, Road, kept_alive, prometheus, road, until, version

pytestmark = pytest.mark.timeout(600)

TAG = {"CI_COMMIT_TAG": "v2", "CI_PIPELINE_URL": "https://gitlab.example/pipelines/17"}


@pytest.fixture
def walked(namespace: Cluster) -> Iterator[Road]:
    """v2 has been evaluated and may go no further; in the next step it would fail."""
    namespace.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRD}")
    namespace.apply(*(each for name in VERSIONS for each in version(name)), road())
    with prometheus() as numbers:
        laid = Road(namespace, numbers)
        with kept_alive(lambda: laid.controller("a")):
            until(lambda: laid.status.get("stable") == "v1" and bool(laid.shares), "v1")
            laid.glm("release", "v2", "--advance-to", "evaluate")
            until(lambda: laid.status.get("step") == "evaluate", "v2 on its way")
            yield laid


@pytest.fixture
def project(walked: Road, tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    folder.mkdir()
    own = yaml.safe_load(walked.cluster.kubeconfig.read_text(encoding="utf-8"))
    own["contexts"][0]["context"]["namespace"] = walked.cluster.namespace
    own["current-context"] = own["contexts"][0]["name"]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(own), encoding="utf-8")
    made = Project(folder, {"KUBECONFIG": str(kubeconfig)})
    made.tag("v2", {})
    return made


def test_a_step_in_the_middle_that_fails_takes_its_candidate_home(
    walked: Road, project: Project, tmp_path: Path
) -> None:
    walked.numbers.sick.add("v2")
    log = tmp_path / "log"

    assert project.run(["mirror"], log, **TAG) != 0

    said = cleaned(log.read_text(encoding="utf-8"))
    assert walked.shares == {"glm-v1": 100}, said
    assert walked.status["phase"] == "RolledBack", said
    assert "v2 is not under way" in said, "its gate was quicker than its job"


def test_a_job_that_loses_patience_does_not_leave_its_candidate_to_the_deadline(
    walked: Road, project: Project, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    assert project.run(["mirror"], log, **TAG, STEP_TIMEOUT="0") != 0

    said = cleaned(log.read_text(encoding="utf-8"))
    until(lambda: walked.status["phase"] == "Aborted", said)
    assert walked.shares == {"glm-v1": 100}
