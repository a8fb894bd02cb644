"""A matcher says what may follow, and survives whoever does not listen."""

from collections.abc import Iterator

import numpy as np
import pytest
from llguidance import LLMatcher

from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.lark import HEAD
from serve_app.engine.grammar.matcher import GuidedMatcher
from serve_app.messages import StructureKind
from tests.engine.walks import ENDS, Room, allowed, encode, nano, takes_whole


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.grammars.close()


@pytest.fixture
def yes(room: Room) -> GuidedMatcher:
    matcher = room.content(StructureKind.CHOICE, '["yes"]')
    assert isinstance(matcher, GuidedMatcher)
    return matcher


@pytest.mark.parametrize("token", [5, 7, 100, 2048, 2**31, 2**40, -1])
def test_a_token_that_must_not_follow_is_an_error_that_stays(
    yes: GuidedMatcher, token: int
) -> None:
    with pytest.raises(ValueError, match="does not let"):
        yes.accept(token)


def test_a_matcher_that_was_misled_says_nothing_more(yes: GuidedMatcher) -> None:
    with pytest.raises(ValueError, match="does not let"):
        yes.accept(encode("no")[0])
    with pytest.raises(ValueError, match="any further"):
        allowed(yes)
    with pytest.raises(ValueError, match="any further"):
        yes.fork()
    assert not yes.finished


def test_the_end_is_all_that_follows_the_end(yes: GuidedMatcher) -> None:
    for token in encode("yes"):
        assert not yes.finished
        yes.accept(token)
    for end in (*ENDS, *ENDS):
        assert yes.finished
        assert allowed(yes) == list(ENDS)
        yes.accept(end)


def test_forks_go_their_own_ways(yes: GuidedMatcher) -> None:
    fork = yes.fork()
    yes.accept(encode("y")[0])
    assert takes_whole(fork, "yes")
    assert takes_whole(yes, "es")


@pytest.mark.parametrize("words", [64, 70, 10])
def test_a_row_of_logits_may_be_longer_or_shorter_than_the_vocabulary(
    yes: GuidedMatcher, words: int
) -> None:
    row = np.full(words, -1, dtype=np.int32)
    yes.allow(row)
    bits = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
    assert [nano().token_bytes[token] for token in bits] == [
        nano().token_bytes[token] for token in allowed(yes) if token < words * 32
    ]


def test_tokens_that_stand_for_the_same_may_all_follow() -> None:
    alphabet = Alphabet({0: b"", 1: b"a", 2: b"a", 3: b"b", 5: b""}, control=[0], ends=[0])
    matcher = GuidedMatcher(LLMatcher(alphabet.tokenizer, f'{HEAD}\nstart: "a"'))
    row = np.zeros(1, dtype=np.int32)
    matcher.allow(row)
    assert row[0] == 0b110
    matcher.accept(2)
    assert matcher.finished
