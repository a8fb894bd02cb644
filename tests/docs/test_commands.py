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


def as_tested(command: str, url: str) -> str:
    """The command against the test's server; what runs these tests is only checked to exist."""
    if command.startswith("make "):
        return command.replace("make", "make --dry-run", 1)
    if command.startswith("curl "):
        command = command.replace("curl", "curl --fail --silent --show-error", 1)
    if re.search(r"glm-serve (chat|bench)", command):
        command += f" --url {url}"
    return command.replace(ADDRESS, url)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_works(command: str, server: Server, tmp_path: Path) -> None:
    """Ports are free and the folder is a user's; a `make` dry run needs the Makefile."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    folder = ROOT if command.startswith(("make", "python")) else tmp_path
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", as_tested(command, server.url)],
        env=os.environ | {"PATH": path},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
