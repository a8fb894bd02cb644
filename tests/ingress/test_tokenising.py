from dataclasses import replace

import pytest

from serve_app.messages import Serving
from tests.ingress.house import CARD, CHAT, House, chat, completion


async def test_a_text_is_told_as_tokens_and_tokens_as_text() -> None:
    async with House().client as client:
        response = await client.post("/tokenize", json=completion("hi"))
        assert response.json() == {
            "count": 2,
            "max_model_len": 8192,
            "tokens": [104, 105],
            "token_strs": None,
        }
        body = {"model": "glm-nano", "tokens": [104, 105]}
        assert (await client.post("/detokenize", json=body)).json() == {"prompt": "hi"}


async def test_tokens_are_told_as_the_vocabulary_writes_them_on_request() -> None:
    async with House().client as client:
        response = await client.post("/tokenize", json=completion("hi", return_token_strs=True))
    assert response.json()["token_strs"] == ["<h>", "<i>"]


async def test_a_client_can_learn_how_prompts_are_written() -> None:
    async with House().client as client:
        response = await client.get("/tokenizer_info")
    assert response.json() == {
        "tokenizer_class": "Letters",
        "chat_template": "of glm-nano",
        "model_max_length": 8192,
    }


async def test_a_conversation_is_told_as_the_model_would_read_it() -> None:
    tool = {"type": "function", "function": {"name": "now"}}
    async with House().client as client:
        response = await client.post("/tokenize", json=chat("hi", tools=[tool]))
    assert bytes(response.json()["tokens"]) == b"hinow{}"


async def test_the_model_that_is_served_spells_also_for_a_former_name() -> None:
    house = House()
    house.cards.turn(Serving(CARD).switched(replace(CARD, name="glm-next")))
    async with house.client as client:
        body = {"model": "glm-nano", "tokens": [104, 105]}
        assert (await client.post("/detokenize", json=body)).json() == {"prompt": "hi"}
    assert house.generator.spelled_by == ["glm-next"]


async def test_the_model_may_be_left_out_as_for_vllm() -> None:
    """Evaluation harnesses do so."""
    async with House().client as client:
        body = {"prompt": "hi", "add_special_tokens": False}
        tokens = (await client.post("/tokenize", json=body)).json()["tokens"]
        body = {"tokens": tokens}
        assert (await client.post("/detokenize", json=body)).json() == {"prompt": "hi"}


async def test_nothing_is_generated_for_that() -> None:
    house = House()
    async with house.client as client:
        await client.post("/tokenize", json=chat())
    assert house.generator.requests == []


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {"model": "glm-nano"}, 400, "prompt"),
        ("/tokenize", completion("hi") | chat("hi"), 400, "prompt"),
        ("/tokenize", {"model": "other", "prompt": "hi"}, 404, "model"),
        ("/tokenize", completion(" " * (8192 * 128 + 1)), 400, "prompt"),
        ("/tokenize", completion("hi", return_token_strs=1), 400, "return_token_strs"),
        ("/tokenize", completion("hi", messages=[]), 400, "prompt"),
        ("/tokenize", chat("hi", add_special_tokens=True), 400, "add_special_tokens"),
        ("/detokenize", {"model": "glm-nano", "tokens": [0x110000]}, 400, "tokens"),
        ("/detokenize", {"model": "glm-nano", "tokens": []}, 400, "tokens"),
        ("/detokenize", {"model": "glm-nano", "tokens": [-1]}, 400, "tokens[0]"),
        ("/detokenize", {"model": "glm-nano", "tokens": [1] * 8193}, 400, "tokens"),
        ("/detokenize", {"model": "other", "tokens": [1]}, 404, "model"),
    ],
)
async def test_what_cannot_be_told_is_refused(
    path: str, body: dict[str, object], status: int, param: str
) -> None:
    async with House().client as client:
        response = await client.post(path, json=body)
        assert response.status_code == status
        assert response.json()["error"]["param"] == param
        assert (await client.post(CHAT, json=chat())).status_code == 200
