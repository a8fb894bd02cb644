"""`glm-serve bench` loads a real server and tells what it saw."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def test_every_request_is_made_and_counted(glm_serve: Run, server: Any) -> None:
    done = glm_serve(
        *("bench", "--url", server.url, "--json", "--requests", "9", "--streams", "3"),
        *("--prompt", "one two three", "--max-tokens", "7"),
    )

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["requests"], report["streams"], report["errors"]) == (9, 3, {})
    assert report["tokens"] == 27
    assert report["first_text_ms_p50"] > 0
    assert report["first_text_ms_p99"] >= report["first_text_ms_p50"]
    assert report["between_texts_ms_p99"] >= report["between_texts_ms_p50"] >= 0
    assert report["tokens_per_s"] > 0
    assert len(server.bodies) == 9
    assert server.bodies[0] == {
        "model": "echo",
        "messages": [{"role": "user", "content": "one two three"}],
        "max_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_no_more_streams_run_at_once_than_asked_for(glm_serve: Run, server: Any) -> None:
    glm_serve("bench", "--url", server.url, "--requests", "12", "--streams", "2")

    assert server.most_under_way <= 2
    assert len(server.bodies) == 12


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("refuse", "The line is full."),
        ("fail", "The engine failed."),
        ("cut", "The answer was cut off: the server closed the stream early."),
    ],
)
def test_failed_answers_are_counted_by_reason_and_fail_the_command(
    glm_serve: Run, server: Any, prompt: str, sentence: str
) -> None:
    done = glm_serve("bench", "--url", server.url, "--json", "--requests", "3", "--prompt", prompt)

    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert (report["errors"], report["tokens"]) == ({sentence: 3}, 0)


def test_the_table_says_it_in_words(glm_serve: Run, server: Any) -> None:
    done = glm_serve("bench", "--url", server.url, "--requests", "2", "--prompt", "refuse")

    assert "2 requests, 8 streams" in done.stdout
    assert "2 x The line is full." in done.stdout


def test_load_on_another_machine_must_be_meant(glm_serve: Run) -> None:
    done = glm_serve("bench", "--url", "http://192.0.2.1:8000")

    assert done.returncode == 1
    assert done.stderr.startswith("http://192.0.2.1:8000 is not this machine; --remote allows")


def test_without_a_server_there_is_one_sentence(glm_serve: Run, nobody: str) -> None:
    done = glm_serve("bench", "--url", nobody)

    assert done.returncode == 1
    assert done.stderr.startswith(f"No server answers at {nobody}.")
    assert done.stderr.count("\n") == 1
