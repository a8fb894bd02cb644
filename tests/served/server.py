"""A real server, started as a user starts it: `glm-serve serve` in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serve_app.ports import SparePorts

PROGRAM = Path(sys.executable).with_name("glm-serve")
START_S = 150
STOP_S = 60


@dataclass(frozen=True)
class Server:
    """A running `glm-serve serve`; its output goes to a file, so that it never blocks."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        return self.output.read_text()


def program(*arguments: str, **settings: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of `glm-serve` with GLM_ settings."""
    environment = {name: value for name, value in os.environ.items() if "GLM_" not in name}
    return [str(PROGRAM), *arguments], environment | settings


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    """A server that is ready; it is stopped as Ctrl-C stops it if the test has not done so."""
    with SparePorts() as ports:
        port = next(ports)
    command, environment = program("serve", GLM_SERVER__PORT=str(port), **settings)
    output = folder / "output"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=sink, stderr=sink, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{port}", process, output)
    try:
        deadline = time.monotonic() + START_S
        while "answers on" not in server.said():
            assert process.poll() is None, server.said()
            assert time.monotonic() < deadline, server.said()
            time.sleep(0.2)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(STOP_S)
