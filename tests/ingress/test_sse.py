import json
from dataclasses import replace

import httpx
import orjson
from hypothesis import given
from hypothesis import strategies as st

from serve_app.ingress import wire
from serve_app.ingress.replies import ChatFrames, Head
from serve_app.ingress.wire.order import Travel
from serve_app.messages import Delta, FinishReason, Usage
from tests.fakes.generator import ScriptedGenerator, spoken
from tests.fakes.guards import HoldOne, OutputGuards
from tests.ingress.house import CARD, CHAT, House, chat

ID = {"x-request-id": "r-1"}

HEAD = (
    '"id":"chatcmpl-r-1","object":"chat.completion.chunk","created":1795000000,'
    '"model":"glm-nano","system_fingerprint":"fp_0123456789ab","choices":['
)
GOLDEN = (
    f'data: {{{HEAD}{{"index":0,"delta":{{"role":"assistant","content":""}},'
    '"logprobs":null,"finish_reason":null}]}\n\n'
    f'data: {{{HEAD}{{"index":0,"delta":{{"content":"Hello"}},'
    '"logprobs":null,"finish_reason":null}]}\n\n'
    f'data: {{{HEAD}{{"index":0,"delta":{{"content":" 世界\\n"}},'
    '"logprobs":null,"finish_reason":null}]}\n\n'
    f'data: {{{HEAD}{{"index":0,"delta":{{}},'
    '"logprobs":null,"finish_reason":"stop","stop_reason":null}]}\n\n'
    "data: [DONE]\n\n"
)


async def streamed(house: House, **fields: object) -> httpx.Response:
    async with house.client as client:
        return await client.post(CHAT, json=chat(stream=True, **fields), headers=ID)


def chunks(response: httpx.Response) -> list[dict]:  # type: ignore[type-arg]
    frames = response.text.removesuffix("\n\n").split("\n\n")
    assert frames.pop() == "data: [DONE]"
    return [json.loads(frame.removeprefix("data: ")) for frame in frames]


async def test_a_stream_is_these_bytes() -> None:
    response = await streamed(House(ScriptedGenerator(*spoken("Hello", " 世界\n"))))
    assert response.text == GOLDEN


async def test_the_headers_keep_proxies_from_gathering() -> None:
    headers = (await streamed(House())).headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert "content-length" not in headers


async def test_counts_come_in_a_chunk_of_their_own_before_the_end() -> None:
    response = await streamed(House(), stream_options={"include_usage": True})
    *parts, last = chunks(response)
    assert all(part["usage"] is None for part in parts)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


async def test_an_empty_answer_still_has_a_beginning_and_an_end() -> None:
    house = House(ScriptedGenerator(*spoken(reason=FinishReason.LENGTH)))
    first, last = chunks(await streamed(house))
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert last["choices"][0]["finish_reason"] == "length"


async def test_a_blocked_answer_ends_with_content_filter() -> None:
    house = House(ScriptedGenerator(*spoken("good", "#", "never")), output=OutputGuards(HoldOne))
    parts = chunks(await streamed(house))
    assert "".join(part["choices"][0]["delta"].get("content", "") for part in parts) == "goo"
    assert parts[-1]["choices"][0]["finish_reason"] == "content_filter"


@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_any_text_survives_its_frame(text: str, with_usage: bool) -> None:
    order = wire.chat(orjson.dumps(chat()), wire.Envelope("r-1"))
    frames = ChatFrames(Head("r-1", 0, CARD), replace(order, travel=Travel(tells_usage=with_usage)))
    frames.of(0, Delta("", Usage(1, 0)))
    frame = frames.of(0, Delta(text, Usage(1, 1)))
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert b"\n" not in frame[:-2]
    assert orjson.loads(frame[6:])["choices"][0]["delta"] == {"content": text}


async def test_the_whole_answer_at_once_has_the_same_text_and_counts() -> None:
    async with House().client as client:
        response = await client.post(CHAT, json=chat(), headers=ID)
    assert response.json() == {
        "id": "chatcmpl-r-1",
        "object": "chat.completion",
        "created": 1795000000,
        "model": "glm-nano",
        "system_fingerprint": "fp_0123456789ab",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello world", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
        "usage": {
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


async def test_the_request_arrives_at_the_generator_as_it_was_meant() -> None:
    house = House()
    await streamed(house, temperature=0, stop="x")
    (request,) = house.generator.requests
    assert request.request_id == "r-1"
    assert request.sampling.temperature == 0
    assert request.sampling.stop == ("x",)
