"""Every command in the documents works as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_app.models.manifest import MANIFEST
from serve_app.models.nano.evaluate import WEIGHTS
from tests.fakes import hub as fakes
from tests.fakes.hub import FakeHub
from tests.served.server import Server

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
IN_A_CLUSTER = {"operations.md"}  # run by tests/cluster
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND_END = re.compile(r"(?<!\\)\n(?=\S)")
SPEAKS_TO_A_SERVER = re.compile(r"^curl |glm-serve (chat|bench|switch)", re.MULTILINE)
ADDRESS = "http://127.0.0.1:8000"
MIRROR = "https://mirror.example"
MODEL = "zai-org/GLM-4-9B-0414"
LITTLE_TRAINING = "--steps 1 --workers 0 --longest 300 --batch-tokens 1024 --look-dialogues 1"
BLOCKS = [
    pytest.param(block.strip(), id=f"{document.name}: {block.partition(chr(10))[0][:60]}")
    for document in DOCUMENTS
    if document.name not in IN_A_CLUSTER
    for block in BLOCK.findall(document.read_text())
]


@pytest.fixture
def addressee(block: str, request: pytest.FixtureRequest) -> Server | None:
    """The server, if the block speaks to one."""
    if not SPEAKS_TO_A_SERVER.search(block):
        return None
    server: Server = request.getfixturevalue("server")
    return server


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """Where the model of the documents is, though it is only glm-nano."""
    with fakes.serving() as served:
        served.repositories[MODEL] = fakes.repository_of(WEIGHTS / "glm-nano", MANIFEST)
        yield served


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A user's folder, with what the documents say is there."""
    copied = shutil.copytree(WEIGHTS / "glm-nano", tmp_path / "copied" / "glm-4-9b-chat")
    (copied / MANIFEST).unlink()
    (copied / "modeling_chatglm.py").write_text("print('hello')")
    (tmp_path / "models.yaml").write_text("model: {folder: models, name: GLM-4-9B-0414}")
    return tmp_path


def as_tested(command: str, url: str, hub: str, folder: Path) -> str:
    """The command against the test's server and folder, and with less of what only takes time."""
    for pattern, replacement in (
        (r"^make ", "make --dry-run "),  # what runs these tests is only checked to exist
        (r"^curl ", "curl --fail --silent --show-error "),
        (r"(glm-serve (?:chat|bench|switch).*)$", rf"\1 --url {url}"),
        (re.escape(ADDRESS), url),
        (re.escape(MIRROR), hub),
        (r"(nano\.evaluate .*)$", r"\1 --count 1 --proof 100"),
        (r"--minutes [\d.]+ --workers \d+ --compile", LITTLE_TRAINING),
        (r"\bbuild/", f"{folder}/"),
    ):
        command = re.sub(pattern, replacement, command)
    return command


@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", BLOCKS)
def test_documented_commands_work_one_after_the_other(
    block: str, addressee: Server | None, hub: FakeHub, desk: Path
) -> None:
    """Commands run in a user's folder; those on the repository's own files, in the repository."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HF_ENDPOINT": hub.url}
    if addressee:
        environment |= {"TMPDIR": str(addressee.temporary)}  # where its operator finds it
    url = addressee.url if addressee else ADDRESS
    for command in COMMAND_END.split(block):
        folder = ROOT if command.startswith(("make", "python")) else desk
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", as_tested(command, url, hub.url, desk)],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []
