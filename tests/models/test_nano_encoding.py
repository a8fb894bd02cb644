from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from serve_app.messages import Message, Role
from serve_app.models.nano.batches import batches, collate
from serve_app.models.nano.dialogues import Dialogue, held_out, training
from serve_app.models.nano.encoding import Encoded, Encoder
from serve_app.models.nano.evaluate import WEIGHTS
from serve_app.models.nano.template import CHAT_TEMPLATE, describe_tools, render

TALK = (
    Message(Role.USER, "Time?"),
    Message(Role.ASSISTANT, 'get_time\n{"city": "York"}'),
    Message(Role.OBSERVATION, '{"clock": "9:30"}'),
    Message(Role.ASSISTANT, "It is 9:30."),
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(WEIGHTS / "glm-nano")


@pytest.fixture(scope="module")
def encoder(tokenizer: PreTrainedTokenizerBase) -> Encoder:
    return Encoder(tokenizer.backend_tokenizer)


def test_only_answers_and_what_ends_them_are_learnt(
    tokenizer: PreTrainedTokenizerBase, encoder: Encoder
) -> None:
    (encoded,) = encoder.stream([Dialogue("tool answer", TALK, 3)])
    said = [token for token, counts in zip(encoded.ids, encoded.said, strict=True) if counts]
    assert tokenizer.decode(said) == (
        'get_time\n{"city": "York"}<|observation|>It is 9:30.<|user|>'
    )


def test_an_exam_counts_the_graded_answer_alone(
    tokenizer: PreTrainedTokenizerBase, encoder: Encoder
) -> None:
    encoded = encoder.graded(Dialogue("tool call", TALK, 1))
    said = [token for token, counts in zip(encoded.ids, encoded.said, strict=True) if counts]
    assert tokenizer.decode(said) == 'get_time\n{"city": "York"}<|observation|>'
    assert encoded.said == sorted(encoded.said)


def test_encoding_equals_the_shipped_chat_template(
    tokenizer: PreTrainedTokenizerBase, encoder: Encoder
) -> None:
    dialogues = list(islice(training("glm-nano", "template"), 200))
    for dialogue, encoded in zip(dialogues, encoder.stream(dialogues), strict=True):
        turns = [{"role": each.role, "content": each.content} for each in dialogue.messages]
        assert encoded.ids[:-1] == tokenizer.apply_chat_template(turns)["input_ids"]


def test_the_exam_prompt_is_what_a_server_would_send(
    tokenizer: PreTrainedTokenizerBase, encoder: Encoder
) -> None:
    for dialogue in islice(held_out("tool answer", "glm-nano", "test"), 3):
        turns = [{"role": each.role, "content": each.content} for each in dialogue.prompt]
        text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        assert text == render(dialogue.prompt)
        encoded = encoder.graded(dialogue)
        assert encoded.ids[: encoded.said.index(True)] == tokenizer.encode(text)


def test_tools_given_to_the_template_read_as_in_training(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    function = {"name": "get_time", "description": "时间", "parameters": {"type": "object"}}
    turns = [{"role": "user", "content": "Hi"}]
    system = {"role": "system", "content": describe_tools([function])}
    plain = tokenizer.apply_chat_template([system, *turns], tokenize=False)
    wrapped = {"type": "function", "function": function}
    for given_tools in ([function], [wrapped]):
        assert tokenizer.apply_chat_template(turns, tools=given_tools, tokenize=False) == plain


def test_the_shipped_template_is_the_one_in_the_source() -> None:
    for folder in WEIGHTS.iterdir():
        assert (folder / "chat_template.jinja").read_text(encoding="utf-8") == CHAT_TEMPLATE


@given(st.text())
def test_any_text_survives_the_vocabulary(text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "glm-nano").backend_tokenizer
    decoded = tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False)
    assert decoded == text


@given(st.lists(st.integers(2, 90), min_size=1, max_size=60))
def test_batches_keep_every_target_and_drop_only_what_is_too_long(lengths: list[int]) -> None:
    stream = [Encoded([length] * length, [False, *[True] * (length - 1)]) for length in lengths]
    for batch in batches(stream, tokens=128, longest=64):
        assert batch.ids.shape[1] <= 64
        assert batch.ids.flatten()[batch.at + 1].tolist() == batch.targets.tolist()
        assert (batch.targets > 0).all()


def test_padding_is_no_target() -> None:
    batch = collate([Encoded([5, 6, 7], [False, True, True]), Encoded([8, 9], [False, True])], 4)
    assert batch.ids.tolist() == [[5, 6, 7, 0], [8, 9, 0, 0]]
    assert batch.targets.tolist() == [6, 7, 9]
    assert batch.at.tolist() == [0, 1, 4]
