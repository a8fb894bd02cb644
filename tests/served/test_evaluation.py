"""A merge request's trial, of real parts: two servers on this machine, and the command of the job.

Only the cluster is a few lines of HTTP; what it would do without users is all there.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import Result
from typer.testing import CliRunner

from k8s.cli import app
from k8s.cli.evaluate import WORSE
from k8s.clocks import Clocks
from k8s.cluster import Cluster
from k8s.controller import Controller
from k8s.road import Phase
from k8s.sampler import Sampler
from serve_app.models import manifest
from serve_app.models.nano.evaluate import WEIGHTS
from serve_app.models.nano.spoil import HOW, spoil
from tests.release.api_server import Shelf
from tests.release.conftest import SERVICES, SLICES, cluster, shelf  # noqa: F401 -- fixtures
from tests.release.worlds import AtOnce, World
from tests.served.server import Server, serving

pytestmark = pytest.mark.timeout(900)

GOLDEN = Path(__file__).parents[2] / "ci" / "golden" / "nano.en.jsonl"
STABLE, TRIAL = "v1", "mr-17-93"
TASKS = {"capital", "copy", "json"}  # those with short answers


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """glm-nano with noise on its weights, and the digest it is known by."""
    folder = tmp_path_factory.mktemp("worse")
    spoil(WEIGHTS / "glm-nano", folder / "noise", HOW["noise"], created=0)
    with serving(folder, GLM_MODEL__FOLDER=str(folder), GLM_MODEL__NAME="noise") as running:
        yield running, manifest.digest(folder / "noise")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Few of the golden set, for a machine of two cores."""
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    path = tmp_path / "few.jsonl"
    path.write_text("\n".join(each for each in lines if json.loads(each)["task"] in TASKS))
    return path


@pytest.fixture
def controller(cluster: Cluster, shelf: Shelf) -> Controller:  # noqa: F811
    """Of a road beside whose stable version the trial is installed."""
    shelf.place(SERVICES, f"glm-{TRIAL}")
    shelf.place(
        SLICES,
        f"glm-{TRIAL}-abcde",
        labels={"kubernetes.io/service-name": f"glm-{TRIAL}"},
        endpoints=[{"conditions": {"ready": True}}],
    )

    def sampler() -> Sampler:
        return Sampler(World(), AtOnce(), lambda: 0.0, lambda: None)

    made = Controller(cluster, sampler, Clocks(lambda: 1.7e9, lambda: 0.0))
    made.reconcile("glm")
    return made


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def tried(controller: Controller, digest: str, questions: Path, *places: str) -> Result:
    """As the jobs `deploy` and `evaluate` do."""
    released = typed("release", TRIAL, "--advance-to", "evaluate", "--model-digest", digest)
    assert released.exit_code == 0, released.output
    controller.reconcile("glm")
    out = questions.parent / "evaluation"
    return typed(
        *("evaluate", TRIAL, "--against", STABLE, "--no-pin", "--digest", digest),
        *("--golden", str(questions), "--record", "--out", str(out), *places),
    )


def failures(folder: Path) -> set[str]:
    """Checks that GitLab would show as failed tests."""
    suite = ET.fromstring((folder / "junit.xml").read_bytes())  # noqa: S314 -- our own
    return {case.get("name", "") for case in suite if case.find("failure") is not None}


def test_a_trial_that_answers_worse_is_refused_and_goes_home(
    server: Server,
    worse: tuple[Server, str],
    controller: Controller,
    cluster: Cluster,  # noqa: F811
    questions: Path,
) -> None:
    bad, digest = worse
    places = ("--url", bad.url, "--against-url", server.url)

    assert tried(controller, digest, questions, *places).exit_code == WORSE

    folder = questions.parent / "evaluation"
    assert "eval-exact" in failures(folder)
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG")
    controller.reconcile("glm")
    road = cluster.road("glm")
    assert road is not None
    assert road.status.phase is Phase.ROLLED_BACK
    assert "eval-exact" in road.status.message
    assert "eval-exact" in typed("why").output


def test_a_trial_of_the_same_model_passes_and_waits_for_leave(
    server: Server,
    controller: Controller,
    cluster: Cluster,  # noqa: F811
    questions: Path,
) -> None:
    digest = manifest.digest(WEIGHTS / "glm-nano")

    done = tried(controller, digest, questions, "--url", server.url)

    assert done.exit_code == 0, done.output
    controller.reconcile("glm")
    assert typed("wait", "evaluate", "--version", TRIAL, "--timeout", "1").exit_code == 0
    aborted = typed("abort", "--version", TRIAL, "--timeout", "0")
    assert aborted.exit_code == 1, "nobody has carried it out yet"
    controller.reconcile("glm")
    road = cluster.road("glm")
    assert road is not None
    assert (road.status.phase, road.status.stable) == (Phase.ABORTED, STABLE)
