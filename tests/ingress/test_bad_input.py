"""Whatever is sent: a 4xx with a sentence that says what to change, and the next one is served."""

import json
import string
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ingress.house import CHAT, House, chat

JSON = {"content-type": "application/json"}

BAD_FIELDS = [
    # (fields put over a good request, param, words that say what to change)
    ({"model": None}, "model", "GET /v1/models"),
    ({"model": 7}, "model", "GET /v1/models"),
    ({"messages": None}, "messages", "at least one message"),
    ({"messages": []}, "messages", "at least one message"),
    ({"messages": "hi"}, "messages", "at least one message"),
    ({"messages": {}}, "messages", "at least one message"),
    ({"messages": [7]}, "messages[0]", "'role' and 'content'"),
    ({"messages": [{}]}, "messages[0].role", "one of system"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "a string or a list"),
    ({"messages": [{"role": "god", "content": "x"}]}, "messages[0].role", "one of system"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "a string"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "a string"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content", "at least one text"),
    (
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": ["b"]}]},
        "messages[1].content[0]",
        "an object like",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].type",
        "must be text",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "id": 1}]}]},
        "messages[0].content[0].id",
        "leave it out",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        "messages[0].content[0].text",
        "a string",
    ),
    (
        {"messages": [{"role": "user", "content": "x", "mood": "good"}]},
        "messages[0].mood",
        "leave it out",
    ),
    (
        {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{}]}]},
        "messages[0].tool_calls",
        "not supported yet",
    ),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"stream": 1}, "stream", "true or false"),
    ({"stream": True, "stream_options": []}, "stream_options", "'include_usage'"),
    ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "leave it out"),
    (
        {"stream": True, "stream_options": {"include_usage": "no"}},
        "stream_options.include_usage",
        "true or false",
    ),
    ({"stream_options": {"include_usage": True}}, "stream_options", "'stream': true"),
    ({"temperature": -0.1}, "temperature", "from 0 to 2"),
    ({"temperature": 2.1}, "temperature", "from 0 to 2"),
    ({"temperature": "hot"}, "temperature", "from 0 to 2"),
    ({"temperature": True}, "temperature", "from 0 to 2"),
    ({"temperature": 10**400}, None, "not valid JSON"),
    ({"top_p": 0}, "top_p", "above 0"),
    ({"top_p": 1.01}, "top_p", "above 0"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": -1}, "max_tokens", "at least 1"),
    ({"max_tokens": 1.5}, "max_tokens", "whole number"),
    ({"max_tokens": True}, "max_tokens", "whole number"),
    ({"max_tokens": "10"}, "max_tokens", "whole number"),
    ({"max_tokens": 2**31}, "max_tokens", "fits the model's context"),
    ({"max_tokens": 10**30}, "max_tokens", "fits the model's context"),
    ({"max_completion_tokens": 0}, "max_completion_tokens", "at least 1"),
    ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens", "send one of them"),
    ({"stop": ""}, "stop[0]", "1 to 1024 characters"),
    ({"stop": ["a", ""]}, "stop[1]", "1 to 1024 characters"),
    ({"stop": ["a"] * 5}, "stop", "up to 4"),
    ({"stop": 7}, "stop", "up to 4"),
    ({"stop": [7]}, "stop[0]", "1 to 1024 characters"),
    ({"stop": "x" * 1025}, "stop[0]", "1 to 1024 characters"),
    ({"seed": 2**63}, "seed", "a whole number"),
    ({"seed": -(2**63) - 1}, "seed", "a whole number"),
    ({"seed": 1.0}, "seed", "a whole number"),
    ({"n": 2}, "n", "must be 1"),
    ({"n": True}, "n", "must be 1"),
    ({"n": 0}, "n", "must be 1"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "left out or 0"),
    ({"frequency_penalty": False}, "frequency_penalty", "left out or 0"),
    ({"presence_penalty": -1}, "presence_penalty", "left out or 0"),
    ({"logit_bias": {"7": 1}}, "logit_bias", "left out or {}"),
    ({"logprobs": True}, "logprobs", "left out or false"),
    ({"logprobs": 0}, "logprobs", "left out or false"),
    ({"top_logprobs": 5}, "top_logprobs", "left out or 0"),
    ({"tools": [{"type": "function"}]}, "tools", "left out or []"),
    ({"tool_choice": "required"}, "tool_choice", "not supported yet"),
    ({"functions": [{}]}, "functions", "not supported yet"),
    ({"function_call": {"name": "f"}}, "function_call", "not supported yet"),
    ({"response_format": {"type": "json_object"}}, "response_format", '{"type": "text"}'),
    ({"modalities": ["audio"]}, "modalities", '["text"]'),
    ({"audio": {}}, "audio", "left out"),
    ({"prediction": {}}, "prediction", "left out"),
    ({"web_search_options": {}}, "web_search_options", "left out"),
    ({"reasoning_effort": "high"}, "reasoning_effort", "left out or none"),
    ({"verbosity": "low"}, "verbosity", "left out or medium"),
    ({"temprature": 1}, "temprature", "leave it out"),
    ({"x" * 100: 1}, "x" * 64, "leave it out"),
    ({"a\nb\x00": 1}, "a?b?", "leave it out"),
    ({"": 1}, "", "leave it out"),
]

BAD_BODIES = [
    # (body, words that say what to change)
    (b"", "The body is empty"),
    (b" \n", "The body is empty"),
    (b"hello", "line 1, column 1"),
    (b'{\n  "model": "x"\n  "messages": []}', "line 3, column 3"),
    (b'{"model": NaN}', "line 1, column 11"),
    (b'{"temperature": Infinity}', "line 1, column 17"),
    (b'{"temperature": 1e999}', "not valid JSON"),
    (b'{"model": "\xff"}', "UTF-8"),
    (b'{"model": "\xed\xa0\x80"}', "UTF-8"),
    (b'{"model": "\\ud800"}', "surrogate"),
    (b'{"model": "\\udc00x"}', "surrogate"),
    (b"\xef\xbb\xbf{}", "byte order mark"),
    ('{"model": "x"}'.encode("utf-16"), "not valid JSON"),
    (b"[" * 100_000, "not valid JSON"),
    (b'{"a":' * 100_000, "not valid JSON"),
    (b"{} {}", "not valid JSON"),
    (b"null", "must be a JSON object"),
    (b"[]", "must be a JSON object"),
    (b'"hi"', "must be a JSON object"),
    (b"7", "must be a JSON object"),
]


def refused(response: httpx.Response, status: int, code: str, param: str | None) -> str:
    """The sentence of a well-shaped refusal."""
    assert response.status_code == status
    (error,) = response.json().values()
    sentence = error.pop("message")
    assert error == {"type": "invalid_request_error", "param": param, "code": code}
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return str(sentence)


async def answers(client: httpx.AsyncClient) -> bool:
    return (await client.post(CHAT, json=chat())).status_code == 200


@pytest.mark.parametrize(("fields", "param", "words"), BAD_FIELDS)
async def test_a_bad_field_is_named_with_what_to_change(
    fields: dict[str, Any], param: str | None, words: str
) -> None:
    async with House().client as client:
        response = await client.post(CHAT, content=json.dumps(chat(**fields)), headers=JSON)
        sentence = refused(response, 400, "invalid_request", param)
        assert words in sentence
        assert param is None or f"'{param}'" in sentence
        assert await answers(client)


@pytest.mark.parametrize(("body", "words"), BAD_BODIES)
async def test_a_bad_body_is_refused_with_its_place(body: bytes, words: str) -> None:
    async with House().client as client:
        response = await client.post(CHAT, content=body, headers=JSON)
        assert words in refused(response, 400, "invalid_request", None)
        assert await answers(client)


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
async def test_anything_but_json_is_refused_unread(content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    async with House().client as client:
        response = await client.post(CHAT, content=orjson.dumps(chat()), headers=headers)
        sentence = refused(response, 415, "unsupported_media_type", None)
        assert "Content-Type: application/json" in sentence
        assert await answers(client)


async def test_a_compressed_body_is_refused_unread() -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    async with House().client as client:
        response = await client.post(CHAT, content=b"\x1f\x8b", headers=headers)
        assert "Content-Encoding" in refused(response, 415, "unsupported_media_type", None)
        assert await answers(client)


async def test_parameters_of_the_content_type_do_not_matter() -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    async with House().client as client:
        response = await client.post(CHAT, content=orjson.dumps(chat()), headers=headers)
        assert response.status_code == 200


async def test_an_unknown_model_is_told_with_the_ones_there_are() -> None:
    async with House().client as client:
        response = await client.post(CHAT, json=chat(model="gpt-5"))
        assert "use glm-nano" in refused(response, 404, "model_not_found", "model")
        assert await answers(client)


async def test_more_tokens_than_the_model_holds_are_refused_before_any_work() -> None:
    house = House()
    async with house.client as client:
        response = await client.post(CHAT, json=chat(max_tokens=8193))
        assert "8192" in refused(response, 400, "context_length_exceeded", "max_tokens")
        assert house.generator.requests == []


async def test_more_messages_than_tokens_are_refused_before_any_work() -> None:
    house = House()
    message = {"role": "user", "content": "x"}
    async with house.client as client:
        response = await client.post(CHAT, json=chat(messages=[message] * 8193))
        assert "send fewer" in refused(response, 400, "context_length_exceeded", "messages")
        assert house.generator.requests == []
        response = await client.post(CHAT, json=chat(messages=[message] * 8192))
        assert response.status_code == 200


async def test_more_text_than_any_tokens_hold_is_refused_before_any_work() -> None:
    house = House()
    longest = 8192 * 128
    async with house.client as client:
        message = {"role": "user", "content": " " * (longest // 2)}
        response = await client.post(CHAT, json=chat(messages=[message, message]))
        assert response.status_code == 200
        response = await client.post(CHAT, json=chat(" " * (longest + 1)))
        assert "send less" in refused(response, 400, "context_length_exceeded", "messages")
        assert len(house.generator.requests) == 1


async def test_a_million_faults_are_one_sentence() -> None:
    async with House().client as client:
        unknown = {f"field{number}": 1 for number in range(100_000)}
        response = await client.post(CHAT, json=chat(**unknown))
        assert len(response.content) < 200
        refused(response, 400, "invalid_request", "field0")
        response = await client.post(CHAT, json=chat(messages=[7] * 100_000))
        refused(response, 400, "invalid_request", "messages[0]")


async def test_no_sentence_quotes_what_was_asked() -> None:
    private = "what-nobody-else-may-read"
    rows = [
        {"messages": [{"role": private, "content": "x"}]},
        {"messages": [{"role": "user", "content": {"text": private}}]},
        {"messages": [{"role": "user", "content": [{"type": private, "text": private}]}]},
        {"messages": private},
        {"stop": [private, ""]},
        {"temperature": private},
        {"response_format": {"type": private}},
        {"model": private},
    ]
    async with House().client as client:
        for row in rows:
            response = await client.post(CHAT, json=chat(**row))
            assert response.status_code in {400, 404}
            assert private not in response.text


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(["user", "text", "glm-nano", "auto", "role", "content", "tool"]),
)
_NAMES = st.one_of(
    st.sampled_from([
        "model", "messages", "role", "content", "type", "text", "stream", "stream_options", "stop",
        "include_usage", "temperature", "top_p", "max_tokens", "seed", "n", "tools", "logit_bias",
        "response_format", "user", "metadata", "name", "tool_calls",
    ]),
    st.text(string.printable, max_size=8),
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_BODIES = st.one_of(
    _VALUES.map(json.dumps).map(str.encode),
    st.dictionaries(_NAMES, _VALUES, max_size=4).map(
        lambda fields: json.dumps(chat() | fields).encode()
    ),
    st.binary(max_size=200),
)


@given(body=_BODIES)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_body_breaks_the_door(body: bytes) -> None:
    async with House().client as client:
        response = await client.post(CHAT, content=body, headers=JSON)
        if response.status_code == 200:
            return
        assert 400 <= response.status_code < 500
        assert response.json().keys() == {"error"}
        assert response.json()["error"].keys() == {"message", "type", "param", "code"}
        assert "Traceback" not in response.text
