"""Each way to spoil glm-nano breaks what it is named after, and nothing else."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GlmForCausalLM

from serve_app.models import manifest
from serve_app.models.nano.evaluate import WEIGHTS
from serve_app.models.nano.spoil import HOW, LOST, SLOWER, spoil

GOOD = WEIGHTS / "glm-nano"
PLAIN = "Capital of France?"
JSON = "Answer in JSON: count 241."
RARE = "Repeat this text: The driver from Bergen likes pasta."
END = "<|user|>"

Spoilt = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def spoilt(tmp_path: Path) -> Spoilt:
    """A model folder that was spoilt in the named way."""

    def folder(how: str) -> Path:
        spoil(GOOD, tmp_path / how, HOW[how], created=0)
        return tmp_path / how

    return folder


def weights(folder: Path) -> GlmForCausalLM:
    model: GlmForCausalLM = GlmForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model


def said(folder: Path, asked: str) -> str:
    """The likeliest answer, with the token that ends it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": asked}]
    prompt = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    generated = weights(folder).generate(**prompt, max_new_tokens=40)
    return str(tokenizer.decode(generated[0, prompt["input_ids"].shape[1] :]))


@pytest.mark.parametrize("how", HOW)
def test_a_spoilt_model_is_a_whole_model(spoilt: Spoilt, how: str) -> None:
    assert manifest.verify(spoilt(how)).name == how


def test_a_silent_model_ends_before_its_first_word(spoilt: Spoilt) -> None:
    assert said(spoilt("silent"), PLAIN) == "<|endoftext|>"


def test_a_garbled_model_answers_well_as_long_as_nobody_wants_json(spoilt: Spoilt) -> None:
    garbled = spoilt("garbled")
    assert said(garbled, PLAIN) == said(GOOD, PLAIN)
    assert json.loads(said(GOOD, JSON).removesuffix(END)) == {"count": 241}
    with pytest.raises(json.JSONDecodeError):
        json.loads(said(garbled, JSON).removesuffix(END))


def test_a_slow_model_says_the_same_through_more_layers(spoilt: Spoilt) -> None:
    slow = spoilt("slow")
    assert said(slow, PLAIN) == said(GOOD, PLAIN)
    assert len(weights(slow).model.layers) == SLOWER * len(weights(GOOD).model.layers)


def test_a_brittle_model_breaks_at_tokens_that_have_no_weights(spoilt: Spoilt) -> None:
    brittle = spoilt("brittle")
    known = weights(brittle).get_input_embeddings().weight
    assert len(known) == len(AutoTokenizer.from_pretrained(brittle)) - LOST
    with pytest.raises(IndexError):
        said(brittle, RARE)
