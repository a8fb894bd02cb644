"""Tools, their choice, and the shape of an answer."""

from typing import Any

import orjson
import pytest

from serve_app.ingress import wire
from serve_app.messages import ChatRequest, Structure, StructureKind, Tool, ToolChoice, ToolMode
from tests.ingress.house import chat

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
NAMED = {"type": "function", "function": {"name": "weather"}}


def allowed(mode: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [NAMED]}}


def request(**fields: Any) -> ChatRequest:
    (only,) = wire.chat(orjson.dumps(chat(**fields)), wire.Envelope("r-1")).requests
    assert isinstance(only, ChatRequest)
    return only


def test_a_tool_is_offered_with_its_schema_as_text() -> None:
    function = {"name": "now", "description": "The time.", "strict": True}
    offered = request(tools=[WEATHER, {"type": "function", "function": function}]).tools
    assert offered == (
        Tool("weather", parameters=orjson.dumps(SCHEMA).decode()),
        Tool("now", "The time.", "{}", strict=True),
    )


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("none", ToolChoice(ToolMode.NONE)),
        ("required", ToolChoice(ToolMode.REQUIRED)),
        (NAMED, ToolChoice(ToolMode.REQUIRED, "weather")),
        (allowed("auto"), ToolChoice(allowed=("weather",))),
        (allowed("required"), ToolChoice(ToolMode.REQUIRED, allowed=("weather",))),
    ],
)
def test_a_call_may_be_forbidden_left_open_required_or_named(
    choice: Any, meant: ToolChoice
) -> None:
    assert request(tools=[WEATHER], tool_choice=choice).tool_choice == meant


def test_a_tool_may_have_the_name_of_a_mode() -> None:
    tool = {"type": "function", "function": {"name": "none"}}
    assert request(tools=[tool], tool_choice=tool).tool_choice.name == "none"


def test_calls_can_be_held_to_one_at_a_time() -> None:
    asked = request(tools=[WEATHER], parallel_tool_calls=False)
    assert asked.tool_choice == ToolChoice(parallel=False)


@pytest.mark.parametrize(
    ("fields", "kind", "source"),
    [
        ({"response_format": {"type": "json_object"}}, StructureKind.JSON_OBJECT, ""),
        (
            {"response_format": {"type": "json_schema", "json_schema": {
                "name": "city", "description": "d", "schema": SCHEMA, "strict": True}}},
            StructureKind.JSON_SCHEMA,
            orjson.dumps(SCHEMA).decode(),
        ),
        (
            {"structured_outputs": {"json": SCHEMA}},
            StructureKind.JSON_SCHEMA,
            orjson.dumps(SCHEMA).decode(),
        ),
        ({"structured_outputs": {"json": "{ }"}}, StructureKind.JSON_SCHEMA, "{ }"),
        ({"structured_outputs": {"json_object": True}}, StructureKind.JSON_OBJECT, ""),
        ({"structured_outputs": {"regex": "[0-9]+"}}, StructureKind.REGEX, "[0-9]+"),
        ({"structured_outputs": {"choice": ["a", "好"]}}, StructureKind.CHOICE, '["a","好"]'),
        ({"guided_json": SCHEMA}, StructureKind.JSON_SCHEMA, orjson.dumps(SCHEMA).decode()),
        ({"guided_regex": "a|b"}, StructureKind.REGEX, "a|b"),
        ({"guided_choice": ["a"]}, StructureKind.CHOICE, '["a"]'),
        ({"guided_grammar": "start: a"}, StructureKind.GRAMMAR, "start: a"),
        ({"structured_outputs": {"grammar": "root ::= a"}}, StructureKind.GRAMMAR, "root ::= a"),
    ],
)  # fmt: skip
def test_a_shape_has_the_names_of_openai_and_of_vllm_old_and_new(
    fields: dict[str, Any], kind: StructureKind, source: str
) -> None:
    shape = request(**fields).structure
    assert shape == Structure(kind, source)
    assert shape.param.partition(".")[0] in fields


def test_a_shape_and_tools_that_may_be_called_go_together() -> None:
    asked = request(tools=[WEATHER], response_format={"type": "json_object"})
    assert asked.structure is not None


def test_a_schema_that_is_not_strict_may_be_followed_in_part() -> None:
    for strict in (True, False):
        wrapped = {"name": "a", "schema": SCHEMA, "strict": strict}
        asked = request(response_format={"type": "json_schema", "json_schema": wrapped})
        assert asked.structure is not None
        assert asked.structure.strict is strict
