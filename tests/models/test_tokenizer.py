"""Every format of tokenizer becomes one kind, with what its publisher's code puts around it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.errors import BadModel
from serve_app.messages import CompletionRequest, Sampling
from serve_app.models.tokenizer import read_tokenizer, token_id
from tests.models.published import save_tokenizer
from tests.models.test_chatglm_tokenizer import ROLES, model

Shelf = Callable[..., Path]


def save_pieces(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(model())
    for name, text in ROLES.items():
        (folder / name).write_text(text)


def test_chatglm3_begins_and_ends_as_its_publisher_does(tmp_path: Path) -> None:
    save_pieces(tmp_path)

    tokenizer = read_tokenizer(tmp_path)

    marks = [token_id(tokenizer, mark) for mark in ("[gMASK]", "sop")]
    assert tokenizer("ab").input_ids[:2] == marks
    assert tokenizer.eos_token_id == token_id(tokenizer, "</s>")
    request = CompletionRequest("r", "chatglm3-6b", "ab", Sampling())
    assert ChatTokenizer(tokenizer).render(request)[:2] == marks


def test_chatglm2_knows_no_turns(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(model())

    assert token_id(read_tokenizer(tmp_path), "<|user|>") is None


def test_tokenizer_json_goes_first(shelf: Shelf) -> None:
    folder = shelf("tiny")
    save_tokenizer(folder)

    assert token_id(read_tokenizer(folder), "hello") == 2


def test_a_vocabulary_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\x00\x01")

    with pytest.raises(BadModel, match="holds no tokenizer that is read here"):
        read_tokenizer(tmp_path)


def test_a_broken_vocabulary_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(model()[:-7])

    with pytest.raises(BadModel, match="cannot be loaded") as caught:
        read_tokenizer(tmp_path)

    assert "\n" not in caught.value.message
