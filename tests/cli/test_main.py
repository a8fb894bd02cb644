"""The program as a person meets it."""

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

HEAVY = {"torch", "transformers", "ray", "pydantic", "httpx", "starlette"}


def test_the_installed_program_tells_the_version_of_the_package(program: Path) -> None:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)

    assert told.stdout == f"glm-serve {version('glm-serve')}\n"


def test_help_names_every_command(glm_serve: Run) -> None:
    text = glm_serve("--help").stdout

    assert all(name in text for name in ("chat", "models", "config", "doctor", "bench"))


@pytest.mark.parametrize("command", ["chat", "config", "doctor", "bench", "models"])
def test_every_command_explains_itself(glm_serve: Run, command: str) -> None:
    done = glm_serve(command, "-h")

    assert done.returncode == 0
    assert "Usage: glm-serve" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    program = "import sys, serve_app.cli; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert HEAVY.isdisjoint(loaded.stdout.decode().split())


def test_a_broken_config_is_one_sentence_and_exit_code_one(
    program: Path, quiet: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text("server: {port: none}")

    done = subprocess.run(
        [program, "config"], cwd=tmp_path, env=quiet, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "server.port: expected a whole number from 1 to 65535, got 'none' "
        "(from config.yaml, line 1)\n"
    )


def test_a_wrong_option_is_exit_code_two(glm_serve: Run) -> None:
    assert glm_serve("bench", "--streams", "0").returncode == 2
