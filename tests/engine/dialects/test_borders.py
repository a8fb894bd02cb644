"""Whatever the tokens: their borders change nothing, nothing is lost, nothing raises."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.engine.dialects import CallOpened, Piece, Text, Transcript
from serve_app.engine.dialects.calling import Calls
from serve_app.engine.dialects.headed import HeadedCalls
from serve_app.engine.dialects.marks import TAGS, Mark, Marks
from serve_app.engine.dialects.pythonic import PythonicCalls
from serve_app.engine.dialects.speech import Manner, State
from serve_app.engine.dialects.tagged import TaggedCalls
from serve_app.messages import Tool
from tests.engine.dialects.spoken import ROLES, joined

CONTROL = {word: number for number, word in enumerate((*ROLES, *sorted(TAGS)))}
MARKS = Marks(CONTROL)
SPELT = Marks({word: number for word, number in CONTROL.items() if word in ROLES})
OFFER = {
    "get": Tool("get", "", '{"properties": {"k": {"type": "string"}}}'),
    "getter": Tool("getter"),
}
CALLS: dict[str, Calls | None] = {
    "headed": HeadedCalls(OFFER),
    "tagged": TaggedCalls(OFFER, MARKS),
    "spelt": TaggedCalls(OFFER, SPELT),
    "pythonic": PythonicCalls(OFFER),
    "none": None,
}
words = st.sampled_from(
    [
        *("get", "getter", "\n", "\n\n", "\n" * 20, "{", "}", '"', "\\", "k", "[1]", "true"),
        *("你", "👋", " ", "stop", "st", "x", "<tool", "_call>"),
        *("```python\n", "```", "tool_call(", "k='v'", ")"),
    ]
)
tags = st.sampled_from(sorted(TAGS))
roles = st.sampled_from(ROLES)
# A call in each way, for chance alone rarely makes one.
calls = st.sampled_from(
    [
        ["\n", "get", "\n", '{"k": 1}'],
        ["<tool_call>", "get", "\n", "<arg_key>", "k", "</arg_key>", "<arg_value>", "v"],
        ["</arg_value>", "\n", "</tool_call>"],
        ["\n", "get", "\n", "```python\n", "tool_call(", "k='v'", ")\n", "```", "<|observation|>"],
        ["<think>", "\n", "x", "\n", "</think>", "\n"],
    ]
)
answers = st.lists(
    words.map(lambda w: [w]) | tags.map(lambda t: [t]) | roles.map(lambda r: [r]) | calls,
    max_size=12,
).map(lambda parts: [word for part in parts for word in part])


def manner(name: str, begins: State = State.HEAD, stop: tuple[str, ...] = ()) -> Manner:
    marks = SPELT if name == "spelt" else MARKS
    return Manner(marks, begins, "\n", "\n", thinks=True, calls=CALLS[name], stop=stop)


def said(manner: Manner, tokens: list[bytes | int]) -> list[Piece]:
    """An answer of tokens that are bytes, or control tokens by their number."""
    spoken = {100 + n: token for n, token in enumerate(tokens) if isinstance(token, bytes)}
    transcript = Transcript(spoken, manner)
    pieces: list[Piece] = []
    for number, token in enumerate(tokens):
        if not transcript.stopped:
            pieces += transcript.add(100 + number if isinstance(token, bytes) else token)
    return [*pieces, *transcript.close()]


def coarse(name: str, answer: list[str]) -> list[bytes | int]:
    """One token for all text between control tokens."""
    control = ROLES if name == "spelt" else tuple(CONTROL)
    divide = re.compile("(" + "|".join(map(re.escape, control)) + ")")
    parts = [part for part in divide.split("".join(answer)) if part]
    return [CONTROL[part] if part in control else part.encode() for part in parts]


def cut(tokens: list[bytes | int], data: st.DataObject) -> list[bytes | int]:
    """The same tokens with text ones in pieces of any size."""
    pieces: list[bytes | int] = []
    for token in tokens:
        if isinstance(token, int):
            pieces.append(token)
            continue
        at = data.draw(st.lists(st.integers(0, len(token)), max_size=6))
        pieces += [token[i:j] for i, j in pairwise(sorted({0, *at, len(token)}))]
    return pieces


@pytest.mark.parametrize("stop", [(), ("stop", "p}")], ids=["no stop", "stop"])
@pytest.mark.parametrize("begins", [State.HEAD, State.PAUSE], ids=["speaks", "thinks"])
@pytest.mark.parametrize("name", CALLS)
@given(answer=answers, data=st.data())
def test_the_borders_of_tokens_change_nothing(
    name: str, begins: State, stop: tuple[str, ...], answer: list[str], data: st.DataObject
) -> None:
    how = manner(name, begins, stop)
    whole = coarse(name, answer)
    assert joined(said(how, cut(whole, data))) == joined(said(how, whole))


@pytest.mark.parametrize("name", CALLS)
@given(answer=answers, data=st.data())
def test_several_tokens_at_once_say_what_they_say_one_by_one(
    name: str, answer: list[str], data: st.DataObject
) -> None:
    how, tokens = manner(name), cut(coarse(name, answer), data)
    ids = [100 + n if isinstance(token, bytes) else token for n, token in enumerate(tokens)]
    spoken = dict(zip(ids, tokens, strict=True))
    transcript = Transcript({n: its for n, its in spoken.items() if isinstance(its, bytes)}, how)
    at = data.draw(st.lists(st.integers(0, len(ids)), max_size=4))
    parts = [ids[i:j] for i, j in pairwise(sorted({0, *at, len(ids)}))]
    pieces = [piece for part in parts for piece in transcript.add_all(part)]
    found, wanted = joined([*pieces, *transcript.close()]), said(how, tokens)
    assert found == joined(wanted)
    assert places_of(pieces) <= places_of(wanted)


def places_of(pieces: list[Piece]) -> set[int]:
    return {place for piece in pieces for place in getattr(piece, "places", ())}


@pytest.mark.parametrize("name", CALLS)
@given(answer=answers)
def test_no_letter_is_lost(name: str, answer: list[str]) -> None:
    """What is not a mark or a blank beside one is content, thought, a name or an argument."""
    pieces = said(manner(name), coarse(name, answer))
    shown = "".join(p.name if isinstance(p, CallOpened) else p.text for p in pieces)
    spoken = "".join(word for word in answer if word not in CONTROL)
    lost = letters(spoken) - letters(shown)
    if name == "pythonic":  # the fence and the function's name are marks there
        lost -= letters("pythontool_call" * len(answer))
    assert not lost


def letters(text: str) -> Counter[str]:
    return Counter(letter for letter in text if letter.isalnum())


@pytest.mark.parametrize("name", CALLS)
@given(tokens=st.lists(st.binary(max_size=4) | st.sampled_from(range(len(CONTROL))), max_size=30))
def test_no_token_is_too_strange(name: str, tokens: list[bytes | int]) -> None:
    pieces = said(manner(name), tokens)
    assert all(not isinstance(p, Text) or p.text for p in pieces)
    "".join(getattr(p, "text", "") for p in pieces).encode()  # no surrogate stands for a mark


@pytest.mark.parametrize("name", CALLS)
@given(answer=answers, data=st.data())
def test_a_token_is_in_one_piece_at_most(name: str, answer: list[str], data: st.DataObject) -> None:
    tokens = cut(coarse(name, answer), data)
    pieces = said(manner(name), tokens)
    places = [place for piece in pieces for place in getattr(piece, "places", ())]
    assert places == sorted(set(places))


@pytest.mark.parametrize("name", CALLS)
@given(answer=answers)
def test_pieces_of_calls_come_in_order(name: str, answer: list[str]) -> None:
    """A call is opened before its arguments come, and the next one after it."""
    opened = -1
    for piece in said(manner(name), coarse(name, answer)):
        if isinstance(piece, CallOpened):
            assert piece.call == opened + 1
            opened = piece.call
        elif not isinstance(piece, Text):
            assert piece.call == opened


def test_every_mark_has_a_way_out() -> None:
    assert set(MARKS.meaning.values()) == set(Mark)
