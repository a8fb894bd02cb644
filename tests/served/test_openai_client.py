"""The official client works against the server unchanged."""

import subprocess
from pathlib import Path

import pytest

from tests.served.server import Server

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
SCENARIOS = [
    "plain", "streamed", "sampled", "stopped", "models", "refused", "asynchronous",
    "called", "called_as_it_comes", "required", "shaped", "probable", "several", "completed",
    "tokenised", "extended", "cut_off",
]  # fmt: skip


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_official_client_is_content(server: Server, scenario: str) -> None:
    done = subprocess.run(
        [PYTHON, ROOT / "tests/clients/openai_client.py", server.url, scenario],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
