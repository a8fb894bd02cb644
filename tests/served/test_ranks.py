"""A model replica of two ranks behind Ray Serve, on a machine with just the GPUs it asks for.

There is no card: Ray is told of two, and the ranks compute on the CPU.
"""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.served.server import Server, program, serving

RANKED = {
    "GLM_ENGINE__TENSOR_PARALLEL": "2",
    "GLM_MODEL__DEVICE": "cpu",
    "GLM_REPLICAS__MODEL_GPUS": "2",
}
CARDS = {"CUDA_VISIBLE_DEVICES": "4,6", "RAY_OVERRIDE_RESOURCES": '{"GPU": 2}'}
QUESTIONS = ("Who are you?", "What is 17 + 25?", "Count from 3 to 30.")
BACK_S = 180  # to be missed, to end, to load again


def body(question: str, **wishes: Any) -> dict[str, Any]:
    return {"model": "glm-nano", "messages": [{"role": "user", "content": question}], **wishes}


def ask(server: Server, question: str, **wishes: Any) -> httpx.Response:
    url = f"{server.url}/v1/chat/completions"
    return httpx.post(url, json=body(question, temperature=0, **wishes), timeout=120)


def answers(server: Server) -> list[str]:
    found = [ask(server, question, max_tokens=48) for question in QUESTIONS]
    return [each.json()["choices"][0]["message"]["content"] for each in found]


def other_rank(server: Server) -> psutil.Process:
    (found,) = (each for each in server.family() if "spawn_main" in " ".join(each.cmdline()))
    return found


@contextmanager
def streaming(server: Server) -> Iterator[list[str]]:
    """A long answer that has begun to flow; after the block the list has all of its lines."""
    lines: list[str] = []
    flowing = threading.Event()

    def listen() -> None:
        url, long = f"{server.url}/v1/chat/completions", {"max_tokens": 1500, "ignore_eos": True}
        asked = body("Count from 1 to 20.", stream=True, **long)
        with httpx.stream("POST", url, json=asked, timeout=120) as answer:
            for line in filter(None, answer.iter_lines()):
                lines.append(line)
                flowing.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert flowing.wait(60)
    yield lines
    listener.join()


def wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + BACK_S
    while not ask(server, "Who are you?", max_tokens=1).is_success:
        assert time.monotonic() < deadline, server.said()
        time.sleep(0.2)


@pytest.mark.timeout(500)
def test_two_ranks_answer_as_one_come_back_when_one_is_lost_and_leave_nothing(
    server: Server, tmp_path: Path
) -> None:
    with serving(tmp_path, **RANKED, **CARDS) as ranked:
        assert answers(ranked) == answers(server)
        lost = other_rank(ranked)
        assert set(lost.environ()["CUDA_VISIBLE_DEVICES"].split(",")) == {"4", "6"}

        with streaming(ranked) as cut:
            lost.kill()
        error = json.loads(cut[-1].removeprefix("data: "))["error"]
        assert (error["type"], error["code"]) == ("server_error", "engine_failed")
        wait_until_it_answers(ranked)
        assert other_rank(ranked).pid != lost.pid

        family = ranked.family()
        with streaming(ranked) as whole:
            ranked.process.send_signal(signal.SIGTERM)
            ranked.process.wait(120)

    assert whole[-1] == "data: [DONE]"
    assert '"finish_reason":"length"' in whole[-2]
    assert ranked.process.returncode == 0, ranked.said()
    assert not psutil.wait_procs(family, timeout=20)[1]


@pytest.mark.timeout(300)
def test_more_gpus_than_the_machine_has_are_refused(tmp_path: Path) -> None:
    command, environment = program("serve", **RANKED, RAY_OVERRIDE_RESOURCES='{"GPU": 1}')
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert (
        "replicas.model_gpus: 2 for each of replicas.model_min (1), but Ray finds 1 on this machine"
    ) in done.stderr
