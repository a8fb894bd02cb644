"""Text completions in OpenAI's older format, as clients and evaluation harnesses read them."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from serve_app.errors import Overloaded
from serve_app.messages import (
    Chance,
    CompletionRequest,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Request,
    Spelt,
    TokenChances,
    Usage,
)
from tests.fakes.generator import ScriptedGenerator, spoken
from tests.fakes.guards import BLOCKED
from tests.ingress.house import CARD, COMPLETIONS, House, completion

HEAD = {
    "id": "cmpl-r-1",
    "object": "text_completion",
    "created": 1795000000,
    "model": "glm-nano",
    "system_fingerprint": f"fp_{CARD.digest[:12]}",
}


class Chatter(ScriptedGenerator):
    """Answers every prompt with itself, once a choice."""

    async def generate(self, request: Request) -> AsyncGenerator[Event]:
        assert isinstance(request, CompletionRequest)
        usage = Usage(len(request.prompt), 1, 1)
        for choice in range(request.sampling.n):
            yield Delta(f"{request.prompt}{choice}", usage, choice)
            yield Finish(FinishReason.STOP, usage, choice)


async def asked(generator: ScriptedGenerator, *prompt: Any, **fields: Any) -> httpx.Response:
    async with House(generator).client as client:
        return await client.post(
            COMPLETIONS, json=completion(*prompt, **fields), headers={"x-request-id": "r-1"}
        )


async def whole(generator: ScriptedGenerator, *prompt: Any, **fields: Any) -> dict[str, Any]:
    response = await asked(generator, *prompt, **fields)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def likely(text: str, logprob: float, *others: tuple[str, float]) -> TokenChances:
    top = tuple(Chance(9, other.encode(), each) for other, each in others)
    return TokenChances(Chance(8, text.encode(), logprob), top)


async def test_the_whole_answer_at_once() -> None:
    assert await whole(ScriptedGenerator(*spoken("Hello", " world"))) == {
        **HEAD,
        "choices": [
            {
                "index": 0,
                "text": "Hello world",
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


async def test_a_stream_is_chunks_with_text_and_the_end() -> None:
    response = await asked(
        ScriptedGenerator(*spoken("Hello")), stream=True, stream_options={"include_usage": True}
    )
    *frames, done, nothing = response.text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    piece = {"index": 0, "text": "Hello", "logprobs": None, "finish_reason": None}
    end = {"index": 0, "text": "", "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    assert chunks[:2] == [HEAD | {"choices": [each], "usage": None} for each in (piece, end)]
    assert (chunks[2]["choices"], chunks[2]["usage"]["total_tokens"]) == ([], 8)


@pytest.mark.parametrize("stream", [False, True])
async def test_choices_are_numbered_through_all_prompts(stream: bool) -> None:
    response = await asked(Chatter(), ["ab", "c"], n=2, stream=stream)
    if stream:
        frames = response.text.removesuffix("\n\ndata: [DONE]\n\n").split("\n\n")
        choices = [json.loads(frame[6:])["choices"][0] for frame in frames]
        texts = {each["index"]: each["text"] for each in choices if each["text"]}
    else:
        texts = {each["index"]: each["text"] for each in response.json()["choices"]}
        usage = response.json()["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (3, 2)
    assert texts == {0: "ab0", 1: "ab1", 2: "c0", 3: "c1"}


async def test_one_prompt_that_fails_fails_them_all_with_one_error() -> None:
    class Half(Chatter):
        async def generate(self, request: Request) -> AsyncGenerator[Event]:
            if isinstance(request, CompletionRequest) and request.prompt == "full":
                raise Overloaded("Full.", 2.0)
            async for event in super().generate(request):
                yield event

    response = await asked(Half(), ["a", "full"])
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "overloaded"


ECHO = Echo("ab", (None, likely("b", -0.5, ("b", -0.5))))
ANSWER = [
    ECHO,
    Delta("好", Usage(2, 2), chances=(likely("好", -1.0, ("c", -0.25)),)),
    Finish(FinishReason.LENGTH, Usage(2, 2)),
]


async def test_what_lm_eval_asks_for_is_what_it_reads() -> None:
    """local-completions: ids in, echo; it sums token_logprobs and compares with top_logprobs."""
    body = await whole(
        ScriptedGenerator(*ANSWER),
        [[97, 98]], temperature=0, max_tokens=1, logprobs=1, seed=1234, echo=True,
    )  # fmt: skip
    (choice,) = body["choices"]
    assert choice["text"] == "ab好"
    assert choice["logprobs"] == {
        "tokens": ["a", "b", "好"],
        "token_logprobs": [None, -0.5, -1.0],
        "top_logprobs": [None, {"b": -0.5}, {"好": -1.0, "c": -0.25}],
        "text_offset": [0, 1, 2],
    }
    told = choice["logprobs"]
    context = 1
    greedy = [
        token == max(top.values())
        for token, top in zip(
            told["token_logprobs"][context:-1], told["top_logprobs"][context:-1], strict=True
        )
    ]
    assert (sum(told["token_logprobs"][context:-1]), greedy) == (-0.5, [True])


async def test_tokens_are_told_by_their_numbers_on_request() -> None:
    """Also the first of an echo, which has no probability; prompt_logprobs have them anyway."""
    events = [
        Echo("ab", (None, likely("b", -0.5, ("b", -0.5))), (97, 98)),
        Delta("好", Usage(2, 2), chances=(likely("好", -1.0, ("c", -0.25)),)),
        Finish(FinishReason.LENGTH, Usage(2, 2)),
    ]
    asked = {"echo": True, "logprobs": 1, "return_tokens_as_token_ids": True}
    (choice,) = (await whole(ScriptedGenerator(*events), "ab", **asked))["choices"]
    assert choice["logprobs"]["tokens"] == ["token_id:97", "token_id:8", "token_id:8"]
    assert choice["logprobs"]["top_logprobs"][2] == {"token_id:8": -1.0, "token_id:9": -0.25}
    assert choice["logprobs"]["text_offset"] == [0, 1, 2]
    assert "token_ids" not in choice


async def test_an_echo_of_no_more_tokens_is_the_prompt_alone() -> None:
    events = [ECHO, Finish(FinishReason.LENGTH, Usage(2, 0))]
    body = await whole(ScriptedGenerator(*events), "ab", max_tokens=0, logprobs=0, echo=True)
    (choice,) = body["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
    assert choice["logprobs"]["tokens"] == ["a", "b"]
    assert body["usage"]["completion_tokens"] == 0


async def test_every_choice_of_a_prompt_begins_with_its_echo() -> None:
    events = [Echo("ab"), *(Finish(FinishReason.STOP, Usage(2, 0), each) for each in range(2))]
    body = await whole(ScriptedGenerator(*events), "ab", echo=True, n=2)
    assert [(each["text"], each["logprobs"]) for each in body["choices"]] == [("ab", None)] * 2


async def test_a_prompts_own_probabilities_are_told_by_vllms_field() -> None:
    body = await whole(ScriptedGenerator(*ANSWER), "ab", prompt_logprobs=1)
    (choice,) = body["choices"]
    assert choice["text"] == "好"
    assert [each and list(each) for each in choice["prompt_logprobs"]] == [None, ["8", "9"]]


async def test_a_token_that_is_part_of_a_character_is_written_out_and_has_its_place() -> None:
    half = [TokenChances(Chance(1, part, -1.0)) for part in (b"\xe5\xa5", b"\xbd", b"!")]
    events = [
        Delta("好!", Usage(1, 3), chances=tuple(half)),
        Finish(FinishReason.STOP, Usage(1, 3)),
    ]
    (choice,) = (await whole(ScriptedGenerator(*events), logprobs=0))["choices"]
    assert choice["logprobs"]["tokens"] == ["bytes:\\xe5\\xa5", "bytes:\\xbd", "!"]
    assert choice["logprobs"]["text_offset"] == [0, 0, 1]


async def test_a_blocked_prompt_is_named_so() -> None:
    async with House(verdict=BLOCKED).client as client:
        response = await client.post(COMPLETIONS, json=completion([104, 105]))
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prompt"
    assert response.json()["error"]["code"] == "content_filter"


async def test_control_tokens_are_told_apart_by_how_they_are_written() -> None:
    """They show nothing; as mere text they would all be one key."""
    user, end = (
        Chance(each, b"", -each, control=name) for each, name in ((1, "<|user|>"), (2, "<eop>"))
    )
    events = [
        Delta("", Usage(1, 1), chances=(TokenChances(user, (user, end)),)),
        Finish(FinishReason.STOP, Usage(1, 1)),
    ]
    (choice,) = (await whole(ScriptedGenerator(*events), logprobs=2))["choices"]
    assert choice["logprobs"] == {
        "tokens": ["<|user|>"],
        "token_logprobs": [-1.0],
        "top_logprobs": [{"<eop>": -2.0, "<|user|>": -1.0}],
        "text_offset": [0],
    }


async def test_a_prompt_token_outside_the_likeliest_has_its_true_rank() -> None:
    rare = TokenChances(Chance(8, b"b", -9.0, rank=77), (Chance(9, b"c", -0.5, rank=1),))
    events = [Echo("ab", (None, rare)), Finish(FinishReason.LENGTH, Usage(2, 0))]
    body = await whole(ScriptedGenerator(*events), "ab", prompt_logprobs=1)
    told = body["choices"][0]["prompt_logprobs"][1]
    assert {token: each["rank"] for token, each in told.items()} == {"8": 77, "9": 1}


IDS = [
    Echo("", tokens=(5, 6)),
    Delta("Hi", Usage(2, 1)),
    Finish(FinishReason.STOP, Usage(2, 2), spelt=Spelt((7, 8), "Hi!")),
]


async def test_token_ids_are_told_to_those_who_ask() -> None:
    (choice,) = (await whole(ScriptedGenerator(*IDS), "ab", return_token_ids=True))["choices"]
    assert (choice["prompt_token_ids"], choice["token_ids"]) == ([5, 6], [7, 8])
    assert choice["text"] == "Hi"


async def test_a_stream_tells_token_ids_at_its_ends() -> None:
    response = await asked(ScriptedGenerator(*IDS), "ab", return_token_ids=True, stream=True)
    frames = response.text.removesuffix("\n\ndata: [DONE]\n\n").split("\n\n")
    first, *_, last = (json.loads(frame[6:])["choices"][0] for frame in frames)
    assert (first["prompt_token_ids"], last["token_ids"]) == ([5, 6], [7, 8])


async def test_counts_go_along_with_every_chunk_on_request() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    generator = ScriptedGenerator(*spoken("a", "b"))
    response = await asked(generator, stream=True, stream_options=options)
    frames = response.text.removesuffix("\n\ndata: [DONE]\n\n").split("\n\n")
    counts = [json.loads(frame[6:])["usage"]["completion_tokens"] for frame in frames]
    assert counts == [1, 2, 2, 2]
