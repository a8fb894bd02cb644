"""A real server, started as a user starts it: `glm-serve serve` in a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from serve_app.ports import SparePorts

PROGRAM = Path(sys.executable).with_name("glm-serve")
START_S = 150
STOP_S = 60


@dataclass(frozen=True)
class Server:
    """A `glm-serve serve`; its output goes to a file, so that it never blocks."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path
    temporary: Path  # its TMPDIR: marks every process of its family, orphans too

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_said(self, words: str) -> None:
        deadline = time.monotonic() + START_S
        while words not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def family(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def run_folders(self) -> list[Path]:
        return list(self.temporary.glob("glm-*"))

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.environ().get("TMPDIR") == str(self.temporary)
        return False


def program(*arguments: str, **settings: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of `glm-serve` with GLM_ settings."""
    environment = {name: value for name, value in os.environ.items() if "GLM_" not in name}
    return [str(PROGRAM), *arguments], environment | settings


@contextmanager
def starting(folder: Path, **settings: str) -> Iterator[Server]:
    """A server on its way up; it is stopped as Ctrl-C stops it if the test has not done so."""
    with SparePorts() as ports:
        port = next(ports)
    output = folder / "output"
    # Not in `folder`: Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="t", ignore_cleanup_errors=True) as temporary:
        command, environment = program(
            "serve", TMPDIR=temporary, GLM_SERVER__PORT=str(port), **settings
        )
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        try:
            yield Server(f"http://127.0.0.1:{port}", process, output, Path(temporary))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(STOP_S)


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    """A server that is ready."""
    with starting(folder, **settings) as server:
        server.wait_until_said("answers on")
        yield server
