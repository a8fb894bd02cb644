"""What cannot be enforced is refused by name, with the field at fault."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.grammar.form import Form
from serve_app.errors import InvalidRequest
from serve_app.messages import Structure, StructureKind
from tests.engine.walks import Room, allowed, takes_whole

SCHEMA, REGEX, CHOICE = StructureKind.JSON_SCHEMA, StructureKind.REGEX, StructureKind.CHOICE
GRAMMAR = StructureKind.GRAMMAR

CROSSED = {
    "type": "object",
    "properties": {"a": {"type": "array", "minItems": 2, "maxItems": 1}},
    "required": ["a"],
}


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.grammars.close()


def refusal(room: Room, kind: StructureKind, source: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        room.content(kind, source)
    return caught.value


@pytest.mark.parametrize(
    "word",
    [
        *("if", "then", "else", "not", "propertyNames", "unevaluatedItems"),
        *("unevaluatedProperties", "contains", "minContains", "maxContains", "uniqueItems"),
        *("additionalItems", "dependencies", "dependentRequired", "dependentSchemas"),
        *("$dynamicRef", "$recursiveRef"),
    ],
)
def test_a_keyword_that_cannot_be_enforced_is_named(room: Room, word: str) -> None:
    inner = {"type": "object", "properties": {"a": {"type": "array", "items": {word: {}}}}}
    refused = refusal(room, SCHEMA, json.dumps(inner))
    assert f"uses {word}," in refused.message
    assert refused.param == "response_format"


def test_a_member_may_bear_the_name_of_a_keyword(room: Room) -> None:
    room.content(SCHEMA, '{"type": "object", "properties": {"not": {"const": {"if": 1}}}}')


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "format": "path"}, "format must be one of date"),
        ({"type": "string", "minLength": "x"}, "minLength must be a count"),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, "must be a number"),
        ({"type": "array", "items": [{"type": "integer"}]}, "items must be a schema"),
        ({"anyOf": {}}, "anyOf must be a list"),
        ({"anyOf": [1]}, "a part that is no schema"),
        ({"properties": []}, "properties must be an object"),
        ({"required": [1]}, "required must be a list of texts"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, r"\$schema must be of 2020-12"),
        ({"type": "object", "minProperties": 2}, "minProperties can be enforced up to"),
        ({"const": [9007199254740993]}, "numbers may have 15 digits"),
        ({"oneOf": [{"type": "string"}, {"minLength": 2}]}, "use anyOf"),
        ({"enum": []}, "Nothing can satisfy"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "Nothing can satisfy"),
        ({"$ref": "#"}, "nothing can satisfy"),
        ({"$ref": "#/$defs/a"}, r"\$ref names a part that is not there"),
        ({"$ref": "#a"}, r"\$ref must be a path"),
        ({"$ref": "https://example.com/a"}, r"\$ref must name a part of the same schema"),
        ({"type": "string", "pattern": "(?=a)"}, "cannot look around"),
        ({"pattern": "a("}, "of the JSON schema is not valid at character 2: unclosed group"),
        (
            {"properties": {"a": {"items": {"pattern": "("}}}},
            r"unclosed group \(at properties.a.items\)",
        ),
        (
            CROSSED,
            r"satisfy .* \(at properties.a\)",
        ),
        ({"properties": {"a": {"if": {}}}}, r"uses if, .* \(at properties.a\)"),
        ({"properties": {"a\n": {"format": "path"}}}, r"one of date.* \(at properties.a\?\)"),
        ({"const": "\ud800"}, "half a surrogate pair"),
    ],
)
def test_a_refusal_says_what_to_change(room: Room, schema: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        room.content(SCHEMA, json.dumps(schema))


@pytest.mark.parametrize(
    ("kind", "source", "words"),
    [
        (SCHEMA, "{", "not valid JSON"),
        (SCHEMA, '{"const": NaN}', "not valid JSON"),
        (SCHEMA, "[]", "must be an object"),
        (SCHEMA, '{"items":' * 65 + "{}" + "}" * 65, "over 64 levels"),
        (SCHEMA, "[" * 60_000, "over 64 levels"),
        (SCHEMA, json.dumps({"anyOf": [{}] * 2_049}), "2048 parts"),
        (REGEX, "a\\", "middle of an escape"),
        (REGEX, r"\bword", "cannot look around"),
        (REGEX, "ab(c", "is not valid at character 3: unclosed group"),
        (REGEX, "[z-a]", "at character 2: invalid character class range"),
        (REGEX, r"(a)\1", "at character 4: backreferences are not supported"),
        (GRAMMAR, 'start: "x"\n | NUMBER', "not valid at line 1, column 8: it names what is not"),
        (GRAMMAR, 'start: "x" (', "not valid at line 1"),
        (GRAMMAR, "hello there", "no rule 'start', as in Lark, and is not valid GBNF at line 1"),
        (GRAMMAR, "root ::= (((", "not valid GBNF at line 1"),
        (GRAMMAR, "root ::= other", "The grammar"),
        (GRAMMAR, "root ::= " + "(" * 10_000, "GBNF"),
        (GRAMMAR, 'root ::= "' + "a" * 20_000 + '"', "16384 characters; use Lark"),
        (GRAMMAR, "start: /(/", "of the grammar is not valid at character 1: unclosed group"),
        (REGEX, "\ud800", "half a surrogate pair"),
        (CHOICE, "[]", "one or more texts"),
        (CHOICE, "[1]", "one or more texts"),
        (CHOICE, "{", "one or more texts"),
    ],
)
def test_sources_that_are_wrong_altogether_are_refused(
    room: Room, kind: StructureKind, source: str, words: str
) -> None:
    refused = refusal(room, kind, source)
    assert words in refused.message
    assert refused.param == "response_format"


def test_a_refusal_names_the_field_in_which_the_source_came(room: Room) -> None:
    for named in ("guided_regex", "structured_outputs.regex"):
        with pytest.raises(InvalidRequest) as refused:
            room.matcher(Form(Structure(REGEX, "((((", param=named)))
        assert refused.value.param == named


def test_what_is_wished_alone_may_be_passed_over(room: Room) -> None:
    unique = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    source = json.dumps({"type": "object", "properties": {"a": unique}, "required": ["a"]})
    matcher = room.matcher(Form(Structure(SCHEMA, source, strict=False)))
    assert takes_whole(matcher, '{"a": [1, 1]}')
    assert "uses uniqueItems" in refusal(room, SCHEMA, source).message
    room.content(SCHEMA, json.dumps(unique | {"uniqueItems": False}))


words = st.sampled_from(
    [
        *("type", "properties", "items", "required", "enum", "const", "anyOf", "oneOf", "allOf"),
        *("$ref", "$defs", "pattern", "format", "minLength", "maximum", "multipleOf", "minItems"),
        *(
            "additionalProperties",
            "patternProperties",
            "prefixItems",
            "$schema",
            "x-guidance",
            "not",
        ),
        *("minProperties", "maxProperties", "exclusiveMinimum", "a"),
    ]
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.sampled_from(["string", "object", "array", "integer", "#", "#/$defs/a", "a+", "date", "["])
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=10,
)


def is_bound_or_refused(room: Room, kind: StructureKind, source: str) -> bool:
    try:
        matcher = room.content(kind, source)
    except InvalidRequest as refused:
        return refused.message.endswith(".")
    return bool(allowed(matcher))


@settings(deadline=None, max_examples=300)
@given(schema=anything)
def test_whatever_is_sent_as_a_schema_is_bound_or_refused(room: Room, schema: Any) -> None:
    assert is_bound_or_refused(room, SCHEMA, json.dumps(schema))


@settings(deadline=None, max_examples=200)
@given(regex=st.text(st.sampled_from(list("ab.*+?|()[]{}^$\\/dws1,-é\n\x00<>\"'")), max_size=12))
def test_whatever_is_sent_as_a_pattern_is_bound_or_refused(room: Room, regex: str) -> None:
    assert is_bound_or_refused(room, REGEX, regex)
