"""What an operator sees when a server starts, refuses to start, drains and stops."""

import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from tests.served.server import program, serving


def refusal(folder: Path, *arguments: str, **settings: str) -> str:
    """Start a server that must not start; return what it said."""
    command, environment = program(*arguments, **settings)
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


def test_a_taken_port_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        said = refusal(tmp_path, "serve", GLM_SERVER__PORT=str(port))

    assert f"127.0.0.1:{port}" in said
    assert "GLM_SERVER__PORT" in said


def test_a_missing_model_is_told_with_those_there_are(tmp_path: Path) -> None:
    said = refusal(tmp_path, "serve", GLM_MODEL__NAME="glm-900b")

    assert "glm-900b" in said
    assert "glm-nano" in said


def test_a_broken_config_is_told_with_the_path_of_the_field(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("server:\n  port: eight\n")

    said = refusal(tmp_path, "serve")

    assert "server.port" in said
    assert "config.yaml" in said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_lets_running_streams_finish_and_leaves_no_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    question = {
        "model": "glm-nano",
        "messages": [{"role": "user", "content": "Count from 1 to 20."}],
        "stream": True,
        "max_tokens": 2000,
        "temperature": 2.0,
        "seed": 4,
    }
    seen: list[str] = []
    flowing = threading.Event()

    def listen(url: str) -> None:
        with httpx.stream(
            "POST", f"{url}/v1/chat/completions", json=question, timeout=120
        ) as answer:
            for line in answer.iter_lines():
                seen.append(line)
                flowing.set()

    with serving(tmp_path) as server:
        family = psutil.Process(server.process.pid).children(recursive=True)
        listener = threading.Thread(target=listen, args=(server.url,))
        listener.start()
        assert flowing.wait(60)

        server.process.send_signal(number)
        server.process.wait(120)
        listener.join(60)

    assert server.process.returncode == 0, server.said()
    assert "Traceback" not in server.said()
    assert [line for line in seen if line][-1] == "data: [DONE]"
    assert not psutil.wait_procs(family, timeout=20)[1]
