"""Whatever is sent: a 4xx with a sentence that says what to change, and the next one is served."""

import json
import string
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serve_app.ingress.wire.chat import Chat
from serve_app.ingress.wire.completions import Completion
from serve_app.ingress.wire.conversation import Call, Turn
from serve_app.ingress.wire.strict import Wire
from serve_app.ingress.wire.structure import StructuredOutputs
from serve_app.messages import Delta, Event, Finish, FinishReason, Request, Usage
from tests.fakes.generator import ScriptedGenerator
from tests.ingress.house import CHAT, COMPLETIONS, House, chat, completion

JSON = {"content-type": "application/json"}

TOOL = {"type": "function", "function": {"name": "weather"}}
NAMED = {"type": "function", "function": {"name": "clock"}}
JSON_MODE = {"response_format": {"type": "json_object"}}
DEEP: dict[str, Any] = {}
for _ in range(300):
    DEEP = {"properties": DEEP}


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather"} | function}


def calling(arguments: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": arguments}
    call = {"id": "c", "type": "function", "function": function}
    return {"role": "assistant", "tool_calls": [call]}


def allowing(*names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}


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
        "messages[0].tool_calls[0].id",
        "a string",
    ),
    (
        {"messages": [calling("[]")]},
        "messages[0].tool_calls[0].function.arguments",
        "a JSON object",
    ),
    (
        {"messages": [calling("{")]},
        "messages[0].tool_calls[0].function.arguments",
        "a JSON object",
    ),
    (
        {"messages": [calling("{}") | {"role": "user", "content": "x"}]},
        "messages[0].tool_calls",
        "an assistant's message",
    ),
    (
        {"messages": [{"role": "user", "content": "x", "reasoning": "y"}]},
        "messages[0].reasoning",
        "an assistant's message",
    ),
    ({"messages": [{"role": "assistant"}]}, "messages[0].content", "may lack it"),
    (
        {"messages": [{"role": "assistant", "content": "x", "function_call": {}}]},
        "messages[0].function_call",
        "use 'tool_calls'",
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
    ({"n": 129}, "n", "at most 128"),
    ({"n": True}, "n", "at least 1"),
    ({"n": 0}, "n", "at least 1"),
    ({"top_k": -2}, "top_k", "at least 1"),
    ({"min_p": 1.1}, "min_p", "from 0 to 1"),
    ({"repetition_penalty": 0}, "repetition_penalty", "above 0"),
    ({"frequency_penalty": 2.5}, "frequency_penalty", "from -2 to 2"),
    ({"frequency_penalty": False}, "frequency_penalty", "from -2 to 2"),
    ({"presence_penalty": "much"}, "presence_penalty", "from -2 to 2"),
    ({"logit_bias": {"x": 1}}, "logit_bias", "token ids, as strings"),
    ({"logit_bias": {"7": 101}}, "logit_bias", "from -100 to 100"),
    ({"logit_bias": {"7": True}}, "logit_bias", "from -100 to 100"),
    ({"logit_bias": [7]}, "logit_bias", "an object"),
    ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias", "up to 1024"),
    ({"min_tokens": -1}, "min_tokens", "at least 0"),
    ({"min_tokens": 5, "max_tokens": 4}, "min_tokens", "not be above"),
    ({"ignore_eos": 1}, "ignore_eos", "true or false"),
    ({"stop_token_ids": 7}, "stop_token_ids", "a list of up to 64"),
    ({"stop_token_ids": [-1]}, "stop_token_ids[0]", "at least 0"),
    ({"priority": "soon"}, "priority", "a whole number"),
    ({"priority": -101}, "priority", "from -100 to 100"),
    ({"logprobs": 5}, "logprobs", "'top_logprobs' says how many"),
    ({"top_logprobs": 5}, "top_logprobs", "needs 'logprobs'"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "from 0 to 20"),
    ({"prompt_logprobs": 21}, "prompt_logprobs", "from 0 to 20"),
    ({"prompt_logprobs": 1, "stream": True}, "prompt_logprobs", "leave 'stream' out"),
    ({"bad_words": [""]}, "bad_words[0]", "1 to 256 characters"),
    ({"bad_words": ["a"] * 129}, "bad_words", "up to 128"),
    ({"allowed_token_ids": []}, "allowed_token_ids", "1 to 16384"),
    ({"allowed_token_ids": [-1]}, "allowed_token_ids[0]", "at least 0"),
    ({"skip_special_tokens": 1}, "skip_special_tokens", "true or false"),
    ({"detokenize": False}, "detokenize", "left out or true"),
    ({"use_beam_search": True}, "use_beam_search", "beam search is not supported"),
    ({"length_penalty": 2}, "length_penalty", "left out or 1"),
    ({"logits_processors": ["x"]}, "logits_processors", "never run"),
    ({"chat_template": "x"}, "chat_template", "a template is a program"),
    ({"documents": [{}]}, "documents", "put them into a message"),
    ({"add_special_tokens": True}, "add_special_tokens", "the chat template"),
    ({"truncate_prompt_tokens": -2}, "truncate_prompt_tokens", "or -1"),
    ({"cache_salt": ""}, "cache_salt", "1 to 1024 characters"),
    ({"return_tokens_as_token_ids": 1}, "return_tokens_as_token_ids", "true or false"),
    ({"include_reasoning": "no"}, "include_reasoning", "true or false"),
    ({"truncation_side": "right"}, "truncation_side", "left out or left"),
    ({"watermarking": True}, "watermarking", "left out or false"),
    ({"repetition_detection": {}}, "repetition_detection", "repetition_penalty"),
    ({"thinking_token_budget": 5}, "thinking_token_budget", "left out or -1"),
    ({"logprob_token_ids": [1]}, "logprob_token_ids", "the likeliest tokens"),
    ({"request_id": "a b"}, "request_id", "letters, digits"),
    (
        {"add_generation_prompt": True, "continue_final_message": True},
        "continue_final_message",
        "exclude each other",
    ),
    (
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]},
        "messages[0].tool_call_id",
        "a call that",
    ),
    (
        {"messages": [calling("{}"), {"role": "tool", "content": "x", "tool_call_id": "d"}]},
        "messages[1].tool_call_id",
        "a call that",
    ),
    ({"tools": {}}, "tools", "up to 128 tools"),
    ({"tools": [TOOL] * 129}, "tools", "up to 128 tools"),
    ({"tools": [TOOL, TOOL]}, "tools[1].function.name", "taken"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "an object with 'name'"),
    ({"tools": [{"type": "retrieval"}]}, "tools[0].type", "must be function"),
    ({"tools": [tool(name="a b")]}, "tools[0].function.name", "letters, digits"),
    ({"tools": [tool(parameters=[])]}, "tools[0].function.parameters", "JSON schema"),
    ({"tools": [tool(parameters=DEEP)]}, "tools[0].function.parameters", "flatten it"),
    ({"tools": [tool(strict="yes")]}, "tools[0].function.strict", "true or false"),
    ({"tool_choice": "required"}, "tool_choice", "needs 'tools'"),
    ({"tool_choice": {"type": "function"}}, "tool_choice", "none, auto, required,"),
    ({"tool_choice": NAMED | {"x": 1}}, "tool_choice", "none, auto, required,"),
    ({"tool_choice": NAMED}, "tool_choice", "needs 'tools'"),
    ({"tools": [TOOL], "tool_choice": NAMED}, "tool_choice", "not in 'tools'"),
    ({"tools": [TOOL], "tool_choice": allowing("clock")}, "tool_choice", "not in 'tools'"),
    ({"tools": [TOOL], "tool_choice": allowing()}, "tool_choice", "none, auto, required,"),
    ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice", "none, auto, required,"),
    ({"tools": [TOOL], "tool_choice": "required", **JSON_MODE}, "tool_choice", "no text"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls", "true or false"),
    ({"functions": [{}]}, "functions", "use 'tools'"),
    ({"function_call": {"name": "f"}}, "function_call", "use 'tool_choice'"),
    ({"response_format": "json"}, "response_format", "an object with 'type'"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "one of text, json_object"),
    (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "is missing; send an object",
    ),
    (
        {"response_format": {"type": "text", "json_schema": {"name": "a"}}},
        "response_format.json_schema",
        "set the type",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
        "letters, digits",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": 7}}},
        "response_format.json_schema.schema",
        "JSON schema",
    ),
    ({"structured_outputs": {}}, "structured_outputs", "one of 'json'"),
    ({"structured_outputs": {"grammar": ""}}, "structured_outputs.grammar", "Lark or GBNF"),
    ({"guided_grammar": 7}, "guided_grammar", "Lark or GBNF"),
    ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", "a list of 1 to 1024"),
    ({"structured_outputs": {"regex": ""}}, "structured_outputs.regex", "not empty"),
    ({"structured_outputs": {"json": 7}}, "structured_outputs.json", "JSON schema"),
    (
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        "structured_outputs.choice",
        "exclude each other",
    ),
    ({"guided_regex": "a", **JSON_MODE}, "guided_regex", "exclude each other"),
    ({"guided_choice": [""]}, "guided_choice[0]", "not empty"),
    ({"guided_json": []}, "guided_json", "JSON schema"),
    ({"chat_template_kwargs": {"x": 1}}, "chat_template_kwargs.x", "leave it out"),
    (
        {"chat_template_kwargs": {"enable_thinking": 1}},
        "chat_template_kwargs.enable_thinking",
        "true or false",
    ),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "one of none"),
    ({"thinking": {"type": "on"}}, "thinking.type", "enabled or disabled"),
    (
        {"thinking": {"type": "disabled"}, "reasoning_effort": "high"},
        "reasoning_effort",
        "contradict",
    ),
    ({"modalities": ["audio"]}, "modalities", '["text"]'),
    ({"audio": {}}, "audio", "left out"),
    ({"prediction": {}}, "prediction", "left out"),
    ({"web_search_options": {}}, "web_search_options", "left out"),
    ({"verbosity": "low"}, "verbosity", "left out or medium"),
    ({"temprature": 1}, "temprature", "leave it out"),
    ({"x" * 100: 1}, "x" * 64, "leave it out"),
    ({"a\nb\x00": 1}, "a?b?", "leave it out"),
    ({"": 1}, "", "leave it out"),
]

BAD_COMPLETIONS = [
    ({"prompt": None}, "prompt", "a text, a list of texts"),
    ({"prompt": ""}, "prompt", "none empty"),
    ({"prompt": []}, "prompt", "none empty"),
    ({"prompt": ["a", ""]}, "prompt", "none empty"),
    ({"prompt": [[]]}, "prompt", "none empty"),
    ({"prompt": [[1], []]}, "prompt", "none empty"),
    ({"prompt": [1, "a"]}, "prompt", "a list of token ids"),
    ({"prompt": [True]}, "prompt", "a list of token ids"),
    ({"prompt": [-1]}, "prompt", "a list of token ids"),
    ({"prompt": [2**31]}, "prompt", "a list of token ids"),
    ({"prompt": {"text": "a"}}, "prompt", "a text, a list of texts"),
    ({"prompt": ["a"] * 129}, "prompt", "at most 128"),
    ({"prompt": ["a"] * 65, "n": 2}, "prompt", "at most 128"),
    ({"max_tokens": 0}, "max_tokens", "'echo': true"),
    ({"max_tokens": -1}, "max_tokens", "at least 1"),
    ({"logprobs": 21}, "logprobs", "from 0 to 20"),
    ({"logprobs": True}, "logprobs", "from 0 to 20"),
    ({"best_of": 2}, "best_of", "the same as 'n'"),
    ({"add_special_tokens": 1}, "add_special_tokens", "true or false"),
    ({"suffix": "x"}, "suffix", "left out"),
    ({"messages": []}, "messages", "leave it out"),
    ({"tools": []}, "tools", "leave it out"),
    ({"echo": 1}, "echo", "true or false"),
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


@pytest.mark.parametrize(("fields", "param", "words"), BAD_COMPLETIONS)
async def test_a_bad_field_of_a_completion_is_named_too(
    fields: dict[str, Any], param: str, words: str
) -> None:
    async with House().client as client:
        body = json.dumps(completion(**fields))
        response = await client.post(COMPLETIONS, content=body, headers=JSON)
        sentence = refused(response, 400, "invalid_request", param)
        assert words in sentence
        assert f"'{param}'" in sentence or param == "prompt"
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


async def test_more_token_ids_than_the_model_holds_are_refused_before_any_work() -> None:
    house = House()
    async with house.client as client:
        response = await client.post(COMPLETIONS, json=completion([1] * 8193))
        assert "8192" in refused(response, 400, "context_length_exceeded", "prompt")
        assert house.generator.requests == []


async def test_text_of_tools_counts_as_the_text_of_messages() -> None:
    house = House()
    async with house.client as client:
        tools = [tool(description=" " * (8192 * 128))]
        response = await client.post(CHAT, json=chat(tools=tools))
        assert "send less" in refused(response, 400, "context_length_exceeded", "messages")
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


Asked = tuple[str, bytes]


class Obliging(ScriptedGenerator):
    """Gives every choice that is asked for."""

    async def generate(self, request: Request) -> AsyncGenerator[Event]:
        for choice in range(request.sampling.n):
            yield Delta("Hello", Usage(7, 1), choice)
            yield Finish(FinishReason.STOP, Usage(7, 1), choice)


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.sampled_from(
        ["user", "text", "glm-nano", "auto", "required", "function", "json_object", "none", "7"]
    ),
)
_NAMES = st.one_of(
    st.sampled_from(
        [
            *Chat.model_fields,
            *Completion.model_fields,
            *Turn.model_fields,
            *Call.model_fields,
            *StructuredOutputs.model_fields,
            "type",
            "text",
            "include_usage",
            "name",
            "arguments",
            "parameters",
            "json",
            "schema",
            "json_schema",
            "enable_thinking",
        ]
    ),
    st.text(string.printable, max_size=8),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


def _near(path: str, good: dict[str, Any], kind: type[Wire]) -> st.SearchStrategy[Asked]:
    """Good requests with one to four fields of the right name and any value."""
    names = st.sampled_from([field.alias or name for name, field in kind.model_fields.items()])
    fields = st.dictionaries(names, _VALUES | _PLAUSIBLE, min_size=1, max_size=4)
    return fields.map(lambda some: (path, json.dumps(good | some).encode()))


_PLAUSIBLE = st.sampled_from([
    True, False, 0, 1, 2, 0.5, "auto", "required", ["a"], [[1, 2]], {"7": -1}, [7, 8],
    {"type": "json_object"}, {"include_usage": True}, [TOOL], NAMED, {"regex": "a+"},
    {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}, {"type": "enabled"},
    [calling("{}"), {"role": "tool", "content": "x", "tool_call_id": "c"}],
])  # fmt: skip
_ASKED = st.one_of(
    st.tuples(st.sampled_from([CHAT, COMPLETIONS]), _VALUES.map(json.dumps).map(str.encode)),
    st.tuples(st.sampled_from([CHAT, COMPLETIONS]), st.binary(max_size=200)),
    _near(CHAT, chat(), Chat),
    _near(COMPLETIONS, completion(), Completion),
)


@given(asked=_ASKED)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_body_breaks_the_door(asked: Asked) -> None:
    """It is served, or refused in the shape and the words of the table."""
    path, body = asked
    async with House(Obliging()).client as client:
        response = await client.post(path, content=body, headers=JSON)
        if response.status_code == 200:
            return
        assert 400 <= response.status_code < 500
        assert response.json().keys() == {"error"}
        assert response.json()["error"].keys() == {"message", "type", "param", "code"}
        assert "Traceback" not in response.text
