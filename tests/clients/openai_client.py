"""The official openai package against a running server, unchanged.

Runs in the clients' own environment: openai_client.py BASE_URL SCENARIO; exit code 0 means held.
"""

import asyncio
import json
import sys

import openai
import pydantic

MODEL = "glm-nano"
ASK = [{"role": "user", "content": "What is the capital of France?"}]


def plain(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=40)
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


def streamed(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "Paris" in text
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-1].choices == []


def sampled(client: openai.OpenAI) -> None:
    unsure = [{"role": "user", "content": "Repeat: 𓂀𓃠𓆏"}]

    def once(seed: int) -> str:
        answer = client.chat.completions.create(
            model=MODEL, messages=unsure, temperature=2, seed=seed, max_tokens=24
        )
        return answer.choices[0].message.content

    assert once(1) == once(1)
    assert len({once(seed) for seed in range(8)}) > 1


def stopped(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASK, stop=["Paris"])
    assert "Paris" not in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    answer = client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


def models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def refused(client: openai.OpenAI) -> None:
    for wrong, kind in (
        ({"model": "gpt-4"}, openai.NotFoundError),
        ({"messages": []}, openai.BadRequestError),
        ({"max_tokens": 0}, openai.BadRequestError),
        ({"temperature": -1}, openai.BadRequestError),
        ({"max_tokens": 10**9}, openai.BadRequestError),
    ):
        try:
            client.chat.completions.create(**{"model": MODEL, "messages": ASK} | wrong)
        except kind as error:
            body, request_id = error.body, error.request_id
        assert body["message"].endswith("."), body
        assert request_id


def asynchronous(client: openai.OpenAI) -> None:
    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key="none") as patient:
            answers = await asyncio.gather(
                *(patient.chat.completions.create(model=MODEL, messages=ASK) for _ in range(8))
            )
            assert all("Paris" in answer.choices[0].message.content for answer in answers)
            stream = await patient.chat.completions.create(model=MODEL, messages=ASK, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert "Paris" in text

    asyncio.run(run())


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
WONDER = [{"role": "user", "content": "What is the weather in London?"}]


def called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=WONDER, tools=[WEATHER])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "London"}
    found = {"role": "tool", "tool_call_id": call.id}
    found["content"] = json.dumps({"condition": "sunny", "degrees": 21})
    answer = client.chat.completions.create(
        model=MODEL, messages=[*WONDER, choice.message, found], tools=[WEATHER]
    )
    assert "London" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"


def called_as_it_comes(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=WONDER, tools=[WEATHER]) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_completion().choices[0].message
    assert "tool_calls.function.arguments.delta" in kinds
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "London"}


def required(client: openai.OpenAI) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        answer = client.chat.completions.create(
            model=MODEL, messages=ASK, tools=[WEATHER], tool_choice=choice, max_tokens=60
        )
        (call, *_) = answer.choices[0].message.tool_calls
        assert isinstance(json.loads(call.function.arguments)["city"], str)
    answer = client.chat.completions.create(
        model=MODEL, messages=WONDER, tools=[WEATHER], tool_choice="none", max_tokens=20
    )
    assert answer.choices[0].message.tool_calls is None


class Person(pydantic.BaseModel):
    """What the model shall fill in."""

    name: str
    age: int
    city: str


def shaped(client: openai.OpenAI) -> None:
    tell = [{"role": "user", "content": "Give me JSON with name Ann, age 31 and city York."}]
    answer = client.chat.completions.parse(model=MODEL, messages=tell, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ann", age=31, city="York")
    answer = client.chat.completions.create(
        model=MODEL, messages=tell, response_format={"type": "json_object"}
    )
    assert json.loads(answer.choices[0].message.content)["name"] == "Ann"
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, extra_body={"structured_outputs": {"choice": ["yes", "no"]}}
    )
    assert answer.choices[0].message.content in {"yes", "no"}


def probable(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=ASK, logprobs=True, top_logprobs=2, temperature=0
    )
    tokens = answer.choices[0].logprobs.content
    said = b"".join(bytes(token.bytes) for token in tokens).decode()
    assert said == answer.choices[0].message.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
    assert all(token.top_logprobs[0].token == token.token for token in tokens)


def several(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASK, n=3, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all("Paris" in choice.message.content for choice in answer.choices)
    stream = client.chat.completions.create(model=MODEL, messages=ASK, n=2, stream=True)
    texts = ["", ""]
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert all("Paris" in text for text in texts)


def completed(client: openai.OpenAI) -> None:
    prompts = ["The capital of France", "Hello"]
    answer = client.completions.create(model=MODEL, prompt=prompts, n=2, max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    answer = client.completions.create(
        model=MODEL, prompt=prompts, max_tokens=1, echo=True, logprobs=1, temperature=0
    )
    for prompt, choice in zip(prompts, answer.choices, strict=True):
        told = choice.logprobs
        assert choice.text.startswith(prompt)
        assert "".join(told.tokens) == choice.text
        assert told.token_logprobs[0] is None
        assert all(logprob <= 0 for logprob in told.token_logprobs[1:])
        assert told.text_offset[:2] == [0, len(told.tokens[0])]
    alone = client.completions.create(
        model=MODEL, prompt=prompts[0], max_tokens=0, echo=True, logprobs=0, temperature=0
    )
    assert alone.choices[0].text == prompts[0]
    assert alone.usage.completion_tokens == 0


def tokenised(client: openai.OpenAI) -> None:
    """The way of an evaluation harness: ids in, probabilities of these very ids out."""
    root = str(client.base_url).removesuffix("v1/")
    outside = client.with_options(base_url=root)  # of /v1, where vLLM has these
    body = {"model": MODEL, "prompt": "The capital of France", "return_token_strs": True}
    read = outside.post("/tokenize", body=body, cast_to=object)
    tokens = read["tokens"]
    assert len(read["token_strs"]) == len(tokens) == read["count"]
    about = outside.get("/tokenizer_info", cast_to=object)
    assert about["eos_token"] in {
        each["content"] for each in about["added_tokens_decoder"].values()
    }
    assert "add_generation_prompt" in about["chat_template"]
    body = {"model": MODEL, "tokens": tokens}
    spelled = outside.post("/detokenize", body=body, cast_to=object)["prompt"]
    assert "The capital of France" in spelled
    answer = client.completions.create(
        model=MODEL, prompt=[tokens, tokens[:2]], max_tokens=1, echo=True, logprobs=1, temperature=0
    )
    whole, part = (choice.logprobs for choice in answer.choices)
    assert (len(whole.tokens), len(part.tokens)) == (len(tokens) + 1, 3)
    assert abs(whole.token_logprobs[1] - part.token_logprobs[1]) < 1e-3


def extended(client: openai.OpenAI) -> None:
    """What vLLM's users send besides: by `extra_body`, as its documents show."""

    def said(messages: list, **extra: object) -> openai.types.chat.chat_completion.Choice:
        answer = client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=30, temperature=0, extra_body=extra
        )
        return answer.choices[0]

    begun = [*ASK, {"role": "assistant", "content": "The capital of"}]
    going_on = {"add_generation_prompt": False, "continue_final_message": True}
    assert said(begun, **going_on).message.content.startswith(" France")
    assert said(begun, **going_on, echo=True).message.content.startswith("The capital of France")
    assert "Paris" not in said(ASK, bad_words=["Paris", "P"]).message.content
    told = said(ASK, return_token_ids=True, include_stop_str_in_output=True)
    (end, *_) = reversed(told.token_ids)
    assert end not in said(ASK, return_token_ids=True, stop_token_ids=[end]).token_ids[:-1]
    assert told.stop_reason is None
    assert said(ASK, stop=["rance is Pa"]).stop_reason == "rance is Pa"
    chances = {"logprobs": True, "return_tokens_as_token_ids": True}
    names = [each.token for each in said(ASK, **chances).logprobs.content]
    assert names == [f"token_id:{token}" for token in told.token_ids[: len(names)]]
    assert said(ASK, include_reasoning=False).message.content == told.message.content
    yes = {"structured_outputs": {"grammar": 'root ::= "yes" | "no"'}}
    assert said(ASK, **yes).message.content in {"yes", "no"}
    assert said(ASK, allowed_token_ids=told.token_ids).message.content == told.message.content


def cut_off(client: openai.OpenAI) -> None:
    """A demanded call is a call, however few tokens it may have."""
    function = {"name": "get_weather", "parameters": {"type": "object", "not": {}}}
    named = {"type": "function", "function": {"name": "get_weather"}}
    for most in (2, 4, 8):
        answer = client.chat.completions.create(
            model=MODEL,
            messages=ASK,
            max_tokens=most,
            tools=[{"type": "function", "function": function}],
            tool_choice=named,
        )
        (choice,) = answer.choices
        assert choice.message.content is None
        assert [call.function.name for call in choice.message.tool_calls] == ["get_weather"]
        assert choice.finish_reason in {"length", "tool_calls"}


def main() -> None:
    url, scenario = sys.argv[1:]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        globals()[scenario](client)


if __name__ == "__main__":
    main()
