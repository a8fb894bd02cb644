"""Every command in the documents works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.served.server import Server

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ADDRESS = "http://127.0.0.1:8000"
COMMANDS = [
    pytest.param(command, id=f"{document.name}: {command.split(chr(10))[0][:60]}")
    for document in DOCUMENTS
    for block in BLOCK.findall(document.read_text())
    for command in re.split(r"(?<!\\)\n(?=\S)", block.strip())
]


def as_tested(command: str, url: str, folder: Path) -> str:
    """The command against the test's server and folder, and with less of what only takes time."""
    for pattern, replacement in (
        (r"^make ", "make --dry-run "),  # what runs these tests is only checked to exist
        (r"^curl ", "curl --fail --silent --show-error "),
        (r"(glm-serve (?:chat|bench).*)$", rf"\1 --url {url}"),
        (re.escape(ADDRESS), url),
        (r"(nano\.evaluate .*)$", r"\1 --count 1 --proof 100"),
        (r"--minutes [\d.]+ --workers \d+ --compile", "--steps 1 --workers 0 --longest 300"),
        (r"\bbuild/", f"{folder}/"),
    ):
        command = re.sub(pattern, replacement, command)
    return command


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_works(command: str, server: Server, tmp_path: Path) -> None:
    """Commands run in a user's folder; those on the repository's own files, in the repository."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    folder = ROOT if command.startswith(("make", "python")) else tmp_path
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", as_tested(command, server.url, tmp_path)],
        env=os.environ | {"PATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []
