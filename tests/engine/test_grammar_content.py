"""Content by structure: whatever the mask lets through is right, and what is right gets through."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.grammar.form import Opening
from serve_app.engine.grammar.matcher import Matcher
from serve_app.errors import InvalidRequest
from serve_app.messages import StructureKind
from tests.engine.walks import Room, encode, nano, takes, takes_whole, walk

OBJECT, SCHEMA = StructureKind.JSON_OBJECT, StructureKind.JSON_SCHEMA
REGEX, CHOICE = StructureKind.REGEX, StructureKind.CHOICE

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=12)
plain = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), max_size=12
)
keys = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1, max_size=6
)
numbers = st.integers(1 - 2**53, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
short = st.integers(-(10**12), 10**12).map(lambda n: n if n % 2 else n + 0.5)  # numbers
constants = st.recursive(
    st.none() | st.booleans() | short | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(texts, values, max_size=4)
styles = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.sampled_from([None, 0, 1, 2, 4, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]),
    }
)
seeds = st.integers(0, 2**32)
often = settings(deadline=None, max_examples=60)


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.grammars.close()


@pytest.fixture(scope="module")
def any_object(room: Room) -> Matcher:
    return room.content(OBJECT)


@often
@given(seed=seeds, steps=st.integers(0, 150))
def test_json_mode_can_write_nothing_but_an_object(
    any_object: Matcher, seed: int, steps: int
) -> None:
    assert isinstance(json.loads(walk(any_object.fork(), seed, steps)), dict)


@settings(deadline=None)
@given(value=objects, style=styles)
def test_json_mode_takes_every_object_byte_for_byte(
    any_object: Matcher, value: dict[str, Any], style: dict[str, Any]
) -> None:
    assert takes_whole(any_object, json.dumps(value, **style))


@pytest.mark.parametrize(
    "text", [r'{"a":"\/\b\u00e9\ud83d\ude00"}', '{"a":"\x7f"}', '{"a":-0.0E+5}']
)
def test_json_mode_takes_what_is_rare_but_json(any_object: Matcher, text: str) -> None:
    assert takes_whole(any_object, text)


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "null",
        '{"a":01}',
        '{"a":1,}',
        "{'a':1}",
        '{"a":NaN}',
        '{"a":"\n"}',
        r'{"a":"\ud83d"}',
    ],
)
def test_json_mode_refuses_what_is_no_object(any_object: Matcher, text: str) -> None:
    assert not takes_whole(any_object, text)


@pytest.mark.parametrize("blanks", ["   ", "\n\n", "\n" + " " * 65])
def test_a_model_cannot_fall_into_blanks(any_object: Matcher, blanks: str) -> None:
    assert not takes_whole(any_object, "{" + blanks + "}")


def test_a_model_cannot_fall_into_depth(any_object: Matcher) -> None:
    def nested(levels: int) -> str:
        return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"

    assert takes_whole(any_object, nested(64))
    assert not takes_whole(any_object, nested(65))


@st.composite
def cases(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], Any]:
    """A schema, and a value that satisfies it."""
    kinds = [_text, _integer, _number, _enum, _whole, _constant]
    return draw(draw(st.sampled_from(kinds + ([_array, _object, _either] if depth else [])))(depth))


def _text(_: int) -> st.SearchStrategy[Any]:
    def case(text: str) -> tuple[dict[str, Any], Any]:
        return {"type": "string", "minLength": len(text) // 2, "maxLength": len(text) + 2}, text

    return plain.map(case) | plain.map(lambda text: ({"type": "string"}, text))


def _whole(_: int) -> st.SearchStrategy[Any]:
    pattern = "^[a-c]+-[0-9]{2}$"
    return st.from_regex(r"\A[a-c]+-[0-9]{2}\Z").map(
        lambda text: ({"type": "string", "pattern": pattern}, text)
    )


def _integer(_: int) -> st.SearchStrategy[Any]:
    return st.integers(-(10**6), 10**6).map(
        lambda n: ({"type": "integer", "minimum": n - 5, "maximum": n + 300}, n)
    )


def _number(_: int) -> st.SearchStrategy[Any]:
    return st.integers(-(10**4), 10**4).map(
        lambda n: ({"type": "number", "exclusiveMinimum": n - 1, "maximum": n + 1}, n + 0.5)
    )


def _enum(_: int) -> st.SearchStrategy[Any]:
    return st.lists(texts | short, min_size=1, max_size=4).map(
        lambda some: ({"enum": some}, some[-1])
    )


def _constant(_: int) -> st.SearchStrategy[Any]:
    return constants.map(lambda value: ({"const": value}, value))


def _array(depth: int) -> st.SearchStrategy[Any]:
    return st.tuples(cases(depth - 1), st.integers(0, 3)).map(
        lambda drawn: (
            {"type": "array", "items": drawn[0][0], "minItems": drawn[1], "maxItems": drawn[1] + 2},
            [drawn[0][1]] * drawn[1],
        )
    )


def _either(depth: int) -> st.SearchStrategy[Any]:
    return st.tuples(cases(depth - 1), cases(depth - 1)).map(
        lambda two: ({"anyOf": [two[0][0], two[1][0]]}, two[1][1])
    )


def _object(depth: int) -> st.SearchStrategy[Any]:
    def case(drawn: dict[str, tuple[tuple[dict[str, Any], Any], bool]]) -> Any:
        required = [key for key, (_, wanted) in drawn.items() if wanted]
        schema = {
            "type": "object",
            "properties": {key: inner[0] for key, (inner, _) in drawn.items()},
            "required": required,
            "additionalProperties": False,
        }
        return schema, {key: inner[1] for key, (inner, wanted) in drawn.items() if wanted}

    return st.dictionaries(keys, st.tuples(cases(depth - 1), st.booleans()), max_size=3).map(case)


@settings(deadline=None)
@given(case=cases(), seed=seeds, steps=st.integers(0, 80))
def test_whatever_is_written_by_a_schema_satisfies_it(
    room: Room, case: tuple[dict[str, Any], Any], seed: int, steps: int
) -> None:
    schema, _ = case
    text = walk(room.content(SCHEMA, json.dumps(schema)), seed, steps)
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


@settings(deadline=None)
@given(case=cases())
def test_whatever_satisfies_a_schema_can_be_written(
    room: Room, case: tuple[dict[str, Any], Any]
) -> None:
    schema, value = case
    matcher = room.content(SCHEMA, json.dumps(schema))
    assert takes_whole(matcher, json.dumps(value, ensure_ascii=False))
    assert takes_whole(matcher, json.dumps(value, ensure_ascii=False, indent=2))


def test_a_schema_may_name_itself(room: Room) -> None:
    schema = {
        "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}},
        "$ref": "#/$defs/tree",
    }
    assert takes_whole(room.content(SCHEMA, json.dumps(schema)), '{"left": {"left": {}}}')


def test_free_members_cannot_take_the_name_of_a_described_one(room: Room) -> None:
    schema = {
        "properties": {"a": {"type": "integer"}},
        "additionalProperties": {"type": "string"},
        "type": "object",
    }
    matcher = room.content(SCHEMA, json.dumps(schema))
    assert takes_whole(matcher, '{"a":1,"b":"x"}')
    assert not takes_whole(matcher, '{"a":"x"}')
    assert not takes_whole(matcher, r'{"\u0061":"x"}')


def test_a_caller_cannot_loosen_a_schema_by_the_words_of_the_library(room: Room) -> None:
    schema = {"type": "object", "x-guidance": {"whitespace_pattern": "[ ]+", "lenient": True}}
    assert not takes_whole(room.content(SCHEMA, json.dumps(schema)), '{      "a": 1}')


@pytest.mark.parametrize(
    "pattern",
    [r"[a-z]{3,9}-\d+", r"(/[a-z0-9]{1,8}){1,4}\.html", "a|bc|d*", "猫+。", r"\w\n\\x", '"[^"]*"'],
)
@often
@given(seed=seeds)
def test_whatever_is_written_by_a_pattern_matches_it_whole(
    room: Room, pattern: str, seed: int
) -> None:
    text = walk(room.content(REGEX, pattern), seed).decode()
    assert re.fullmatch(pattern, text, re.ASCII)


@often
@given(data=st.data())
def test_whatever_matches_a_pattern_can_be_written(room: Room, data: st.DataObject) -> None:
    pattern = r"(?:[a-f]+/)*[\w.]{1,8}(?:\?q=[0-9]+)?"
    text = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    assert takes_whole(room.content(REGEX, pattern), text)


def test_a_pattern_cannot_close_itself_and_add_rules(room: Room) -> None:
    matcher = room.content(REGEX, 'a/ | /b\nstart: "c" | /')
    assert not takes_whole(matcher, "c")
    assert not takes_whole(matcher, "a")
    assert takes_whole(matcher, "a/ ")


@often
@given(choices=st.lists(texts, min_size=1, max_size=5), seed=seeds)
def test_a_choice_is_one_of_the_texts(room: Room, choices: list[str], seed: int) -> None:
    matcher = room.content(CHOICE, json.dumps(choices))
    assert walk(matcher.fork(), seed).decode() in choices
    assert all(takes_whole(matcher, text) for text in choices)


def test_the_end_may_come_only_where_the_grammar_ends(room: Room) -> None:
    matcher = room.content(CHOICE, '["yes", "yesterday"]')
    assert not takes(matcher.fork(), [7])
    assert takes(matcher.fork(), [*nano().encode(["yes"])[0], 7])
    assert takes(matcher, nano().encode(["yesterday"])[0])
    assert matcher.finished


def test_thoughts_are_free_up_to_their_mark(room: Room) -> None:
    think, unthink = 1, 2
    matcher = room.content(OBJECT, opening=Opening(1, think, unthink))
    assert takes_whole(matcher, "\n", think, '["anything', unthink, "\n{}")
    assert not takes_whole(matcher, think, "{}")
    assert not takes_whole(matcher, "{}")


def test_a_mark_that_is_text_ends_thoughts_too(room: Room) -> None:
    matcher = room.content(OBJECT, opening=Opening(1, unthink="</think>"))
    assert takes_whole(matcher, "is </thin a mark?</think>\n{}")
    assert not takes_whole(matcher, "a</think>b</think>{}")


def test_no_control_token_is_a_text(room: Room) -> None:
    matcher = room.content(REGEX, "(?s:.*)")
    assert takes_whole(matcher, "<|assistant|>")
    assert not takes_whole(matcher, 8)


def test_numbers_of_any_size_stay_numbers(room: Room) -> None:
    text = walk(room.content(SCHEMA, '{"type":"number"}'), 3)
    assert not math.isnan(float(text))


@pytest.mark.parametrize(
    "source",
    [
        'start: "x" NUMBER\nNUMBER: /[0-9]{2}/',
        '%llguidance {"no_forcing": false}\nstart: content\ncontent: "x" /[0-9]{2}/',
        'root ::= "x" digit digit\ndigit ::= [0-9]',
    ],
)
def test_a_grammar_of_the_callers_own_is_followed(room: Room, source: str) -> None:
    """In Lark or in GBNF, and whatever its rules are called."""
    matcher = room.content(StructureKind.GRAMMAR, source)
    assert takes_whole(matcher, "x12")
    assert not takes_whole(matcher, "x1")
    assert not takes(matcher.fork(), encode("1"))


def test_a_grammar_of_the_callers_own_cannot_name_ours(room: Room) -> None:
    with pytest.raises(InvalidRequest, match="not valid at line 1, column 8"):
        room.content(StructureKind.GRAMMAR, "start: json_value::0x0")
