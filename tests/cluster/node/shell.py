"""Programs of this machine: run one, or say in which words it failed."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_LAST_LINES = 20
GLANCE_S = 0.2  # between two looks at what is waited for


class Failed(Exception):
    """One sentence for whoever brings the cluster up, and the program's last lines."""


def run(
    *command: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str | None = None,
) -> str:
    """Return what it writes; `env` is added to our own, `given` is its standard input."""
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).splitlines()[-_LAST_LINES:]
        words = " ".join(map(str, command))
        raise Failed("\n".join((f"exit code {done.returncode} of: {words}", *said)))
    return done.stdout


def run_logged(log: Path, *command: str | Path) -> None:
    """What takes long can be watched in its log, whose end is told if it fails."""
    with log.open("ab") as lines:
        done = subprocess.run(command, stdout=lines, stderr=lines, check=False)
    if done.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        raise Failed("\n".join((f"exit code {done.returncode}; {log} ends with", *last)))


def succeeds(*command: str | Path) -> bool:
    """Ask a question whose answer is an exit code."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def wait_for(what: str, true: Callable[[], bool], seconds: float) -> None:
    """Raise Failed if it is not so in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not so after {seconds:g} seconds")
        time.sleep(GLANCE_S)
