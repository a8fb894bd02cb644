"""What comes over the wire is understood however it is cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.cli.client import EventStream, error_in, is_loopback, text_of
from serve_app.errors import Refused, Unable


def stream_of(texts: list[str]) -> bytes:
    chunks = [
        json.dumps({"choices": [{"delta": {"content": t}}]}, ensure_ascii=False) for t in texts
    ]
    return b"".join(b"data: " + c.encode() + b"\n\n" for c in chunks) + b"data: [DONE]\n\n"


@given(texts=st.lists(st.text(st.characters(codec="utf-8"))), data=st.data())
def test_a_stream_reads_the_same_in_pieces_of_any_size(
    texts: list[str], data: st.DataObject
) -> None:
    whole = stream_of(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    events = EventStream()

    read = [text_of(chunk) for piece in pieces for chunk in events.feed(piece)]

    assert read == texts
    assert events.done


def test_comments_and_other_fields_are_passed_over() -> None:
    assert list(EventStream().feed(b": ping\nevent: message\nid: 7\n\n")) == []


def test_an_error_event_is_raised_with_its_sentence() -> None:
    with pytest.raises(Unable, match=r"^The engine failed\.$"):
        list(EventStream().feed(b'data: {"error": {"message": "The engine failed."}}\n\n'))


def test_an_event_that_is_not_json_is_told() -> None:
    with pytest.raises(Unable, match="not JSON"):
        list(EventStream().feed(b"data: hello\n"))


def test_a_stream_that_stops_before_its_end_is_no_answer() -> None:
    with pytest.raises(Unable, match="cut off"):
        EventStream().close()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Refused), (404, Refused), (500, Unable), (503, Unable)]
)
def test_an_error_response_keeps_its_sentence_and_its_side(status: int, kind: type) -> None:
    error = error_in(status, b'{"error": {"message": "Say less."}}')

    assert (type(error), error.message) == (kind, "Say less.")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}'])
def test_an_error_response_of_another_shape_is_told_by_its_status(body: bytes) -> None:
    assert "status 502" in error_in(502, body).message


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:8000/v1", True),
        ("http://localhost:1", True),
        ("http://localhost.example.com", False),
        ("http://0.0.0.0:8000", False),
        ("http://10.0.0.1", False),
        ("https://example.com", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(url: str, here: bool) -> None:
    assert is_loopback(url) is here
