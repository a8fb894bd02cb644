"""Calls by spelling: every call that the mask lets through can be made as it stands."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.grammar.form import Form, Headed, Opening, Spelling, Tagged
from serve_app.engine.grammar.matcher import Matcher
from serve_app.errors import InvalidRequest
from serve_app.messages import Structure, StructureKind, Tool, ToolChoice, ToolMode
from tests.engine.walks import Room, encode, takes, takes_whole, walk

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "unit": {"enum": ["c", "f"]},
        "note": {"type": ["string", "null"]},
    },
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = (
    Tool("get_weather", parameters=json.dumps(WEATHER), strict=True),
    Tool("now", strict=True),
)
LOOSE = tuple(replace(tool, strict=False) for tool in TOOLS)
AUTO, REQUIRED = ToolChoice(), ToolChoice(ToolMode.REQUIRED)
NAMED = ToolChoice(ToolMode.REQUIRED, "get_weather")
TURN = 8
HEADED = Headed(TURN)
MARKS = Tagged(1, 2, 3, 4, 5, 6)  # control tokens
TAGS = Tagged()  # the same in letters
OPENING = Opening(margin=1)
SHANGHAI = '{"city": "上海", "days": 3}'


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.grammars.close()


def bound(
    room: Room,
    spelling: Spelling | None,
    choice: ToolChoice = REQUIRED,
    tools: tuple[Tool, ...] = TOOLS,
    structure: Structure | None = None,
) -> Matcher:
    return room.matcher(Form(structure, tools, choice, spelling, OPENING))


def call(marks: Tagged, name: str, *arguments: tuple[str, str]) -> list[int | str]:
    """As GLM-4.5's template writes a call."""
    parts: list[int | str] = [marks.call, name + "\n"]
    for key, value in arguments:
        parts += [marks.key, key, marks.unkey, "\n", marks.value, value, marks.unvalue, "\n"]
    return [*parts, marks.uncall]


@pytest.mark.parametrize("name", [None, "get_weather"])
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), steps=st.integers(0, 60))
def test_a_headed_call_names_a_tool_and_satisfies_its_schema(
    room: Room, name: str | None, seed: int, steps: int
) -> None:
    choice = ToolChoice(ToolMode.REQUIRED, name, parallel=False)
    text = walk(bound(room, HEADED, choice), seed, steps).decode()
    head, _, arguments = text.lstrip("\n").partition("\n")
    assert head in ([name] if name else ["get_weather", "now"])
    if head == "get_weather":
        jsonschema.validate(json.loads(arguments), WEATHER)
    assert isinstance(json.loads(arguments), dict)


def test_headed_calls_follow_each_other_in_turns_of_their_own(room: Room) -> None:
    first, second = "get_weather\n" + SHANGHAI, "\nnow\n{}"
    assert takes_whole(bound(room, HEADED), first, TURN, second)
    assert not takes_whole(bound(room, HEADED), first, second)


@pytest.mark.parametrize("choice", [NAMED, replace(REQUIRED, parallel=False)])
@pytest.mark.parametrize("spelling", [HEADED, MARKS])
def test_one_call_is_one_call(room: Room, spelling: Spelling, choice: ToolChoice) -> None:
    once: list[int | str] = ["get_weather\n" + SHANGHAI]
    if isinstance(spelling, Tagged):
        once = call(spelling, "get_weather", ("city", "上海"))
    matcher = bound(room, spelling, choice)
    assert takes_whole(matcher, *once)
    assert not takes(matcher.fork(), [*encode(*once), TURN])


@pytest.mark.parametrize(
    "text",
    [
        "get_weather is a tool",
        "get_weather",
        "Call:\nget_weather\n{}",
        "get_weather\n(1)",
        "{}",
        "",
    ],
)
def test_text_that_is_no_call_is_free(room: Room, text: str) -> None:
    assert takes_whole(bound(room, HEADED, AUTO), text)


@pytest.mark.parametrize("text", ["get_weather\n{}", "\n\nnow\n  {", 'get_weather\n{"days":1}'])
def test_text_that_would_be_read_as_a_call_has_to_be_a_right_one(room: Room, text: str) -> None:
    assert not takes_whole(bound(room, HEADED, AUTO), text)
    assert takes_whole(bound(room, HEADED, AUTO), "\nget_weather\n" + SHANGHAI)


@pytest.mark.parametrize("marks", [MARKS, TAGS])
def test_tagged_strings_stand_as_they_are_and_all_else_is_json(room: Room, marks: Tagged) -> None:
    right = [("city", 'St. "John\'s" <br>\n\\'), ("days", "3"), ("unit", "f"), ("note", '"x"')]
    assert takes_whole(bound(room, marks), *call(marks, "get_weather", *right))
    for wrong in (("days", "x"), ("days", "99"), ("unit", "k"), ("note", "x"), ("else", "1")):
        matcher = bound(room, marks)
        assert not takes_whole(matcher, *call(marks, "get_weather", ("city", "x"), wrong))


@pytest.mark.parametrize("marks", [MARKS, TAGS])
def test_tagged_arguments_are_complete_and_short_enough(room: Room, marks: Tagged) -> None:
    assert not takes_whole(bound(room, marks), *call(marks, "get_weather", ("days", "3")))
    assert not takes_whole(bound(room, marks), *call(marks, "get_weather", ("city", "x" * 21)))
    assert takes_whole(bound(room, marks), *call(marks, "get_weather", ("city", "x" * 20)))


@pytest.mark.parametrize("marks", [MARKS, TAGS])
def test_text_may_stand_before_tagged_calls_that_nobody_demands(room: Room, marks: Tagged) -> None:
    calls = [*call(marks, "now"), "\n", *call(marks, "get_weather", ("city", "x"))]
    assert takes_whole(bound(room, marks), *calls)
    assert not takes_whole(bound(room, marks), "I look. ", *calls)
    assert takes_whole(bound(room, marks, AUTO), "I look. ", *calls)
    assert takes_whole(bound(room, marks, AUTO), "I know.")
    assert not takes_whole(bound(room, marks, AUTO), "I look. ", *call(marks, "never"))


@pytest.mark.parametrize("spelling", [HEADED, MARKS, None])
def test_tools_that_nobody_demands_and_that_are_not_strict_bind_nothing(
    spelling: Spelling | None,
) -> None:
    assert not Form(None, LOOSE, AUTO, spelling).binding
    assert not Form(None, TOOLS, ToolChoice(ToolMode.NONE), spelling).binding


def test_a_tool_that_is_not_strict_may_have_a_schema_that_cannot_be_enforced(room: Room) -> None:
    tools = (Tool("odd", parameters='{"type": "object", "not": {"required": ["a"]}}'),)
    assert takes_whole(bound(room, HEADED, REQUIRED, tools), 'odd\n{"a": 1}')
    assert takes_whole(bound(room, MARKS, REQUIRED, tools), *call(MARKS, "odd", ("a", "b c")))
    with pytest.raises(InvalidRequest, match="uses not") as refusal:
        bound(room, HEADED, REQUIRED, (TOOLS[0], replace(tools[0], strict=True)))
    assert refusal.value.param == "tools[1].function.parameters"


CITY = {"type": "string", "pattern": "[A-Z]+", "format": "city"}
DAYS = {"type": "array", "items": {"type": "integer", "minimum": 1}, "uniqueItems": True}
ODD = {
    "type": "object",
    "properties": {"city": CITY, "days": DAYS},
    "required": ["city"],
    "not": {"required": ["x"]},
    "minProperties": 9,
}


@pytest.mark.parametrize("pattern", ["^[A-Z]+$", "(?=A)"])
def test_the_rest_of_such_a_schema_is_enforced(room: Room, pattern: str) -> None:
    """A pattern that cannot be followed frees the patterns, not the types."""
    odd = ODD | {"properties": {"city": CITY | {"pattern": pattern}, "days": DAYS}}
    matcher = bound(room, HEADED, REQUIRED, (Tool("odd", parameters=json.dumps(odd)),))
    assert takes_whole(matcher, 'odd\n{"city": "A", "days": [1, 1]}')
    assert not takes(matcher.fork(), encode('odd\n{"city": 1'))
    assert not takes(matcher.fork(), encode('odd\n{"days"'))
    assert not takes(matcher.fork(), encode('odd\n{"city": "A", "days": ["'))
    assert takes(matcher.fork(), encode('odd\n{"city": "a')) is (pattern == "(?=A)")


def test_the_rest_of_such_a_schema_is_enforced_in_tags_too(room: Room) -> None:
    matcher = bound(room, MARKS, REQUIRED, (Tool("odd", parameters=json.dumps(ODD)),))
    assert takes_whole(matcher, *call(MARKS, "odd", ("city", "a b"), ("days", "[1, 1]")))
    assert not takes_whole(matcher, *call(MARKS, "odd", ("days", "[1]")))
    assert not takes_whole(matcher, *call(MARKS, "odd", ("city", "a"), ("days", "x")))


@pytest.mark.parametrize("parameters", ["{", '{"type": "array"}', '{"properties": []}'])
def test_what_is_no_schema_of_arguments_is_refused_by_place(room: Room, parameters: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        bound(room, HEADED, REQUIRED, (TOOLS[0], Tool("odd", parameters=parameters)))
    assert refusal.value.param == "tools[1].function.parameters"


def test_a_pattern_of_a_strict_tool_that_cannot_be_followed_is_named(room: Room) -> None:
    parameters = {"type": "object", "properties": {"city": {"pattern": "x("}}}
    odd = Tool("odd", parameters=json.dumps(parameters), strict=True)
    with pytest.raises(InvalidRequest, match=r"unclosed group \(at properties.city\)") as refusal:
        bound(room, HEADED, REQUIRED, (TOOLS[0], odd))
    assert refusal.value.param == "tools[1].function.parameters"


SOME = ToolChoice(allowed=("now",))


@pytest.mark.parametrize("mode", [ToolMode.AUTO, ToolMode.REQUIRED])
def test_of_the_tools_that_are_offered_some_alone_can_be_called(room: Room, mode: ToolMode) -> None:
    matcher = bound(room, HEADED, replace(SOME, mode=mode), LOOSE)
    assert takes_whole(matcher, "now\n{}")
    assert not takes(matcher.fork(), encode("get_weather\n{"))
    assert takes(matcher.fork(), encode("Hello")) is (mode is ToolMode.AUTO)
    tagged = bound(room, MARKS, replace(SOME, mode=mode), LOOSE)
    assert takes_whole(tagged, *call(MARKS, "now"))
    assert not takes(tagged.fork(), encode(1, "get_w"))


def test_demanded_calls_follow_schemas_of_tools_that_are_not_strict(room: Room) -> None:
    assert not takes_whole(bound(room, HEADED, REQUIRED, LOOSE), "get_weather\n{}")


def test_content_is_bound_where_no_call_is_made(room: Room) -> None:
    shape = Structure(StructureKind.CHOICE, '["yes", "no"]')
    matcher = bound(room, HEADED, AUTO, LOOSE, shape)
    assert takes_whole(matcher, "\nyes")
    assert takes_whole(matcher, "\nnow\n{}")
    assert not takes_whole(matcher, "perhaps")


@pytest.mark.parametrize(
    ("choice", "spelling", "words"),
    [
        (REQUIRED, None, "cannot be held to its tools"),
        (ToolChoice(ToolMode.REQUIRED, "other"), HEADED, "not among the tools"),
    ],
)
def test_what_cannot_be_demanded_is_refused(
    room: Room, choice: ToolChoice, spelling: Spelling | None, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as refusal:
        bound(room, spelling, choice)
    assert refusal.value.param == "tools"


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ({"type": "string", "pattern": "a"}, "held to pattern"),
        ({"type": "string", "format": "date"}, "held to format"),
        ({"anyOf": [{"type": "string"}, {"const": "x"}]}, "held to anyOf"),
    ],
)
def test_strings_that_stand_as_they_are_are_held_to_little(
    room: Room, inner: dict[str, Any], words: str
) -> None:
    parameters = {"type": "object", "properties": {"a": inner}}
    tools = (Tool("t", parameters=json.dumps(parameters), strict=True),)
    with pytest.raises(InvalidRequest, match=words):
        bound(room, MARKS, REQUIRED, tools)
    bound(room, HEADED, REQUIRED, tools)


def test_a_tagged_argument_may_name_a_definition(room: Room) -> None:
    parameters = {
        "type": "object",
        "$defs": {"point": {"type": "array", "items": {"type": "integer"}, "maxItems": 2}},
        "properties": {"at": {"$ref": "#/$defs/point"}},
        "required": ["at", "also"],
    }
    tools = (Tool("t", parameters=json.dumps(parameters), strict=True),)
    matcher = bound(room, MARKS, REQUIRED, tools)
    assert takes_whole(matcher, *call(MARKS, "t", ("at", "[1, 2]"), ("also", '"any"')))
    assert not takes_whole(matcher, *call(MARKS, "t", ("at", "[1, 2, 3]"), ("also", "1")))


def test_names_are_texts_and_no_rules(room: Room) -> None:
    name = 'a" | /.*/ #\\'
    matcher = bound(room, HEADED, REQUIRED, (Tool(name),))
    assert takes_whole(matcher, name + "\n{}")
    assert not takes_whole(matcher, "anything")
