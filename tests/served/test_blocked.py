"""A conversation that is refused costs the engine nothing for long, though work on it began."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve_app.ports import SparePorts
from tests.served.test_hang_up import metrics

ROOT = Path(__file__).parents[2]
BANNED = {"model": "endless", "messages": [{"role": "user", "content": "glm-banned-demo"}]}
CALM = {"model": "endless", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server whose engine never ends an answer by itself."""
    with SparePorts() as ports:
        port = next(ports)
    command = [sys.executable, "-m", "tests.served.endless", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert any(line.startswith("answers on") for line in process.stdout or ())
        yield f"http://127.0.0.1:{port}"
        process.communicate(timeout=60)


def listeners(url: str) -> float:
    return metrics(url, ["vllm:num_requests_running"])[0]


def wait_for_silence(url: str) -> None:
    deadline = time.monotonic() + 20
    while listeners(url):
        assert time.monotonic() < deadline, "the engine still speaks to nobody"
        time.sleep(0.1)


@pytest.mark.timeout(300)
def test_the_work_for_a_blocked_conversation_is_cancelled(url: str) -> None:
    async def ask() -> list[int]:
        async with httpx.AsyncClient(timeout=30) as client:
            answers = [client.post(f"{url}/v1/chat/completions", json=BANNED) for _ in range(20)]
            return [answer.status_code for answer in await asyncio.gather(*answers)]

    assert asyncio.run(ask()) == [400] * 20
    wait_for_silence(url)


@pytest.mark.timeout(300)
def test_an_endless_answer_ends_when_its_listener_leaves(url: str) -> None:
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=CALM, timeout=30) as answer:
        lines = answer.iter_lines()  # dropped, it would close the connection
        assert next(lines).startswith("data: ")
        assert listeners(url) == 1
    wait_for_silence(url)
