"""Chat answers in OpenAI's format: choices, thoughts, calls and probabilities."""

import json
import math
from typing import Any

import httpx

from serve_app.errors import EngineFailed
from serve_app.messages import (
    Chance,
    Channel,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Queued,
    Spelt,
    TokenChances,
    ToolDelta,
    Usage,
)
from tests.fakes.generator import ScriptedGenerator, spoken
from tests.ingress.house import CHAT, House, chat

U = Usage(7, 2, 4, 1)
STOP = Finish(FinishReason.STOP, U)
CALLS = [
    Delta("Let me see.", U),
    ToolDelta(0, "", U, 0, "call_a", "weather"),
    ToolDelta(0, '{"city":', U),
    ToolDelta(0, ' "Beijing"}', U),
    ToolDelta(1, "{}", U, 0, "call_b", "now"),
    Finish(FinishReason.TOOL_CALLS, U),
]
LIKELY = TokenChances(
    Chance(5, b"Hi", -0.25, 1),
    (Chance(5, b"Hi", -0.25, 1), Chance(6, b"\xe4\xbd", -9e99, 2)),
)


async def asked(*events: Event, **fields: Any) -> httpx.Response:
    async with House(ScriptedGenerator(*events)).client as client:
        response = await client.post(CHAT, json=chat(**fields))
        assert response.status_code == 200, response.text
        return response


async def whole(*events: Event, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = (await asked(*events, **fields)).json()
    return body


async def deltas(*events: Event, **fields: Any) -> list[dict[str, Any]]:
    """The first choice of each chunk."""
    response = await asked(*events, stream=True, **fields)
    frames = response.text.removesuffix("\n\n").split("\n\n")
    assert frames.pop() == "data: [DONE]"
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    return [chunk["choices"][0] for chunk in chunks if chunk["choices"]]


async def test_calls_are_told_whole_with_what_was_said_before() -> None:
    (choice,) = (await whole(*CALLS))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": "Let me see.",
        "refusal": None,
        "tool_calls": [
            {
                "id": "call_a",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Beijing"}'},
            },
            {
                "id": "call_b",
                "type": "function",
                "function": {"name": "now", "arguments": "{}"},
            },
        ],
    }


async def test_an_answer_of_calls_alone_has_no_content() -> None:
    (choice,) = (await whole(*CALLS[1:]))["choices"]
    assert choice["message"]["content"] is None


async def test_a_call_is_streamed_with_its_name_first_and_its_arguments_after() -> None:
    entries = [
        choice["delta"]["tool_calls"][0]
        for choice in await deltas(*CALLS)
        if "tool_calls" in choice["delta"]
    ]
    assert entries == [
        {
            "index": 0,
            "id": "call_a",
            "type": "function",
            "function": {"name": "weather", "arguments": ""},
        },
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": ' "Beijing"}'}},
        {
            "index": 1,
            "id": "call_b",
            "type": "function",
            "function": {"name": "now", "arguments": ""},
        },
        {"index": 1, "function": {"arguments": "{}"}},
    ]


async def test_thoughts_are_apart_from_words_by_the_names_of_glm_and_vllm() -> None:
    events = [Delta("Hm.", U, channel=Channel.REASONING), Delta("Yes.", U), STOP]
    (choice,) = (await whole(*events))["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "Yes.",
        "refusal": None,
        "reasoning_content": "Hm.",
        "reasoning": "Hm.",
    }
    assert [choice["delta"] for choice in await deltas(*events)] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm.", "reasoning": "Hm."},
        {"content": "Yes."},
        {},
    ]


async def test_several_answers_are_told_apart_by_their_index() -> None:
    events = [
        Delta("b", U, 1), Delta("a", U, 0), Finish(FinishReason.LENGTH, U, 1),
        Finish(FinishReason.STOP, Usage(7, 9)),
    ]  # fmt: skip
    body = await whole(*events, n=2)
    told = [
        (each["index"], each["message"]["content"], each["finish_reason"])
        for each in body["choices"]
    ]
    assert told == [(0, "a", "stop"), (1, "b", "length")]
    assert body["usage"]["completion_tokens"] == 9
    streamed = await deltas(*events, n=2)
    assert [(each["index"], each["delta"].get("role")) for each in streamed[:2]] == [
        (0, "assistant"), (1, "assistant"),
    ]  # fmt: skip
    assert [(each["index"], each["delta"]) for each in streamed[2:]] == [
        (1, {"content": "b"}), (0, {"content": "a"}), (1, {}), (0, {}),
    ]  # fmt: skip


async def test_counts_end_a_stream_of_several_answers_once() -> None:
    events = [Finish(FinishReason.STOP, U, choice) for choice in range(3)]
    response = await asked(*events, n=3, stream=True, stream_options={"include_usage": True})
    assert response.text.count('"usage":{') == 1
    assert response.text.count("[DONE]") == 1
    assert response.text.count('"role":"assistant"') == 3


async def test_usage_tells_what_was_cached_and_what_was_thought() -> None:
    assert (await whole(STOP))["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


TOLD = {
    "token": "Hi",
    "logprob": -0.25,
    "bytes": [72, 105],
    "top_logprobs": [
        {"token": "Hi", "logprob": -0.25, "bytes": [72, 105]},
        {"token": "\\xe4\\xbd", "logprob": -9999.0, "bytes": [0xE4, 0xBD]},
    ],
}


async def test_probabilities_are_told_in_the_shape_of_openai() -> None:
    events = [Delta("Hi", U, chances=(LIKELY,)), STOP]
    asks = {"logprobs": True, "top_logprobs": 2}
    (choice,) = (await whole(*events, **asks))["choices"]
    assert choice["logprobs"] == {"content": [TOLD], "refusal": None}
    streamed = await deltas(*events, **asks)
    assert [choice["logprobs"] for choice in streamed] == [
        None, {"content": [TOLD], "refusal": None}, None,
    ]  # fmt: skip


async def test_an_impossible_token_is_a_number_of_json() -> None:
    never = TokenChances(Chance(5, b"x", -math.inf))
    response = await asked(Delta("x", U, chances=(never,)), STOP, logprobs=True)
    assert response.json()["choices"][0]["logprobs"]["content"][0]["logprob"] == -9999.0


async def test_probabilities_of_thoughts_are_not_told_among_those_of_words() -> None:
    thought = Delta("Hm", U, channel=Channel.REASONING, chances=(LIKELY,))
    (choice,) = (await whole(thought, Delta("Hi", U, chances=(LIKELY,)), STOP, logprobs=True))[
        "choices"
    ]
    assert choice["logprobs"]["content"] == [TOLD]


async def test_tokens_are_told_by_their_numbers_on_request() -> None:
    (choice,) = (
        await whole(
            Delta("Hi", U, chances=(LIKELY,)), STOP, logprobs=True, return_tokens_as_token_ids=True
        )
    )["choices"]
    (told,) = choice["logprobs"]["content"]
    assert told["token"] == "token_id:5"  # noqa: S105 - a token of text
    assert told["bytes"] == TOLD["bytes"]
    assert [each["token"] for each in told["top_logprobs"]] == ["token_id:5", "token_id:6"]


async def test_thoughts_are_left_out_on_request() -> None:
    said = (Delta("Hm", U, channel=Channel.REASONING), Delta("Hi", U), STOP)
    (choice,) = (await whole(*said, include_reasoning=False))["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hi", "refusal": None}
    told = [each["delta"] for each in await deltas(*said, include_reasoning=False)]
    assert told == [{"role": "assistant", "content": ""}, {"content": "Hi"}, {}]


async def test_an_answer_begins_with_its_thoughts_though_they_are_left_out() -> None:
    thought = Delta("Hm", U, channel=Channel.REASONING)
    response = await asked(thought, EngineFailed("x"), include_reasoning=False, stream=True)
    first, failure, *_ = response.text.split("\n\n")
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "",
    }
    assert "error" in json.loads(failure.removeprefix("data: "))


async def test_what_of_the_callers_ended_an_answer_is_told() -> None:
    for ended in ("END", 7, None):
        finish = Finish(FinishReason.STOP, U, stopped_by=ended)
        assert (await whole(Delta("Hi", U), finish))["choices"][0]["stop_reason"] == ended
        assert (await deltas(Delta("Hi", U), finish))[-1]["stop_reason"] == ended


async def test_probabilities_of_the_prompt_are_told_in_the_shape_of_vllm() -> None:
    body = await whole(Echo("ab", (None, LIKELY)), STOP, prompt_logprobs=2)
    assert body["prompt_logprobs"] == [
        None,
        {
            "5": {"logprob": -0.25, "rank": 1, "decoded_token": "Hi"},
            "6": {"logprob": -9999.0, "rank": 2, "decoded_token": "\\xe4\\xbd"},
        },
    ]
    assert "prompt_logprobs" not in await whole(STOP)


async def test_a_place_in_the_line_is_a_comment_before_the_first_event() -> None:
    response = await asked(Queued(3, 1.25), *spoken("Hi"), stream=True)
    comment, first, *_ = response.text.split("\n\n")
    assert comment == ": queued position=3 wait_s=1.2"
    assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"]["role"] == "assistant"
    assert (await whole(Queued(3, 1.25), *spoken("Hi")))["choices"][0]["message"]["content"] == "Hi"


TALK = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I "}]


async def test_an_echo_stands_before_the_answer() -> None:
    body = await whole(*spoken("am"), messages=TALK, echo=True)
    assert body["choices"][0]["message"]["content"] == "I am"
    first, *rest = await deltas(*spoken("am"), messages=TALK, echo=True)
    assert first["delta"] == {"role": "assistant", "content": "I "}
    assert rest[0]["delta"] == {"content": "am"}


async def test_without_a_turn_of_its_own_whoever_spoke_last_speaks() -> None:
    body = await whole(*spoken("Hi"), add_generation_prompt=False)
    assert body["choices"][0]["message"]["role"] == "user"


IDS = [Echo("", tokens=(5, 6)), Delta("Hi", U), Finish(FinishReason.STOP, U, spelt=Spelt((7,), ""))]


async def test_token_ids_are_told_to_those_who_ask() -> None:
    body = await whole(*IDS, return_token_ids=True)
    assert (body["prompt_token_ids"], body["choices"][0]["token_ids"]) == ([5, 6], [7])
    assert "token_ids" not in (await whole(*spoken("Hi")))["choices"][0]


async def test_a_stream_tells_token_ids_at_its_ends() -> None:
    response = await asked(*IDS, stream=True, return_token_ids=True)
    frames = response.text.removesuffix("\n\ndata: [DONE]\n\n").split("\n\n")
    first, *_, last = (json.loads(frame[6:]) for frame in frames)
    assert (first["prompt_token_ids"], last["choices"][0]["token_ids"]) == ([5, 6], [7])


async def test_counts_go_along_with_every_chunk_on_request() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    response = await asked(*spoken("a", "b"), stream=True, stream_options=options)
    frames = response.text.removesuffix("\n\ndata: [DONE]\n\n").split("\n\n")
    counts = [json.loads(frame[6:])["usage"]["completion_tokens"] for frame in frames]
    assert counts == [0, 1, 2, 2, 2]


async def test_an_answer_bears_the_id_that_was_named() -> None:
    assert (await whole(*spoken("Hi"), request_id="job-7"))["id"] == "chatcmpl-job-7"
