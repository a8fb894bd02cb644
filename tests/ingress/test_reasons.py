"""The log says why a request was refused, and nothing of what its sender wrote."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from serve_app.errors import InvalidRequest, Overloaded, TooLong
from serve_app.ingress.reasons import reason
from serve_app.settings import LogSettings
from serve_app.telemetry import configure
from tests.ingress.house import CHAT, House, chat

PRIVATE = "what-nobody-else-may-read"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure(LogSettings(format="json"), stream)
    yield stream
    structlog.reset_defaults()


async def told(stream: io.StringIO, path: str, body: Any) -> dict[str, Any]:
    """The line about the exchange."""
    async with House().client as client:
        await client.post(path, json=body)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "http"]
    return line


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (chat(temperature=-1), "'temperature' must be a number from 0 to 2."),
        (chat(messages=[{"role": PRIVATE}]), "'messages[0].role' must be one of system,"),
        (chat(**{PRIVATE: 1}), "'?' is not a known field; leave it out."),
        (chat(**{f"a' {PRIVATE} 'b": 1}), "'?' is not a known field; leave it out."),
        (chat(max_tokens=10**6), "'max_tokens' is more than the 8192 tokens this model holds"),
    ],
)
async def test_a_refused_request_leaves_its_reason(
    stream: io.StringIO, body: Any, words: str
) -> None:
    line = await told(stream, CHAT, body)
    assert line["status"] == 400
    assert line["code"] in {"invalid_request", "context_length_exceeded"}
    assert line["reason"].startswith(words)
    assert PRIVATE not in stream.getvalue()


async def test_a_wrong_path_is_not_written(stream: io.StringIO) -> None:
    line = await told(stream, f"/{PRIVATE}", {})
    assert (line["status"], line["code"]) == (404, "unknown_url")
    assert PRIVATE not in stream.getvalue()


async def test_an_answer_leaves_none() -> None:
    stream = io.StringIO()
    configure(LogSettings(format="json", level="debug"), stream)
    line = await told(stream, CHAT, chat())
    structlog.reset_defaults()
    assert not line.keys() & {"code", "reason"}


def test_names_within_a_callers_schema_are_left_out() -> None:
    error = InvalidRequest(f"Nothing can satisfy the JSON schema (at properties.{PRIVATE}).")
    assert reason(error) == "Nothing can satisfy the JSON schema."


def test_of_what_is_ours_the_code_says_all() -> None:
    assert reason(Overloaded("Full.")) is None
    assert reason(TooLong("The prompt takes 9 tokens.")) == "The prompt takes 9 tokens."
