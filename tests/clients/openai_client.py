"""The official openai package against a running server, unchanged.

Runs in the clients' own environment: openai_client.py BASE_URL SCENARIO; exit code 0 means held.
"""

import asyncio
import sys

import openai

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


def main() -> None:
    url, scenario = sys.argv[1:]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        globals()[scenario](client)


if __name__ == "__main__":
    main()
