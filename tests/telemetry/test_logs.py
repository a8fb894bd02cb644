import io
import json

import pytest

from serve_app.settings import LogSettings
from serve_app.telemetry import configure, log


def written(settings: LogSettings) -> io.StringIO:
    stream = io.StringIO()
    configure(settings, stream)
    return stream


def test_a_json_line_has_time_level_event_and_fields() -> None:
    stream = written(LogSettings(format="json"))
    log().info("chat", request_id="r-1", prompt_tokens=7)
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "info", "event": "chat", "request_id": "r-1", "prompt_tokens": 7}


def test_a_text_line_reads_in_one_go() -> None:
    stream = written(LogSettings(format="text"))
    log().info("chat", request_id="r-1")
    assert stream.getvalue().count("\n") == 1
    assert "request_id=r-1" in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_field_nobody_named_is_held_back(form: str) -> None:
    stream = written(LogSettings.model_validate({"format": form}))
    log().info("chat", prompt="what-nobody-else-may-read")
    assert "what-nobody-else-may-read" not in stream.getvalue()
    assert "prompt" in stream.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_shows_the_place_and_no_variables(form: str) -> None:
    stream = written(LogSettings.model_validate({"format": form}))
    private = "what-nobody-may-read"
    try:
        _fail(private)
    except RuntimeError as error:
        log().error("failure", exc_info=error)
    assert "RuntimeError: 20 letters" in stream.getvalue()
    assert "in _fail" in stream.getvalue()
    assert private not in stream.getvalue()


def _fail(conversation: str) -> None:
    raise RuntimeError(f"{len(conversation)} letters")


def test_lines_below_the_level_are_not_written() -> None:
    stream = written(LogSettings(level="warning"))
    log().info("chat")
    assert stream.getvalue() == ""
    log().warning("not_ready")
    assert "not_ready" in stream.getvalue()
