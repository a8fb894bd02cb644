"""Reads a JSON schema and refuses by name what cannot be enforced; nothing is passed over.

What llguidance enforces is told in its docs/json_schema.md. It ignores some constraints of older
drafts, and keys of free members may repeat: that is refused here.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from serve_app.engine.grammar.lark import BLANK

Schema = dict[str, Any]

DEEPEST = 64  # schemas inside schemas
MOST = 2048  # schemas in one

_DRAFTS = ("2020-12", "2019-09", "draft-07", "draft-06")
FORMATS = (
    *("date", "date-time", "duration", "email", "hostname", "ipv4"),
    *("ipv6", "time", "uri", "uuid"),
)
UNENFORCED = {
    *("if", "then", "else", "not", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
    *("contains", "minContains", "maxContains", "uniqueItems", "additionalItems"),
    *("dependencies", "dependentRequired", "dependentSchemas", "$dynamicRef", "$recursiveRef"),
}
_ONE = ("items", "additionalProperties")  # keywords that hold a schema
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")  # a list of schemas
_NAMED = ("properties", "patternProperties", "$defs", "definitions")  # schemas by name
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
NUMERIC = (*_NUMBERS, "const", "enum")  # keywords whose numbers must not be rounded
# Without \\u no free member can take the name of a described one by spelling it in another way.
_PLAIN = {"json_allowed_escapes": 'nrbtf\\"'}
_LONGEST_NAME, _LONGEST_PATH = 64, 200  # characters that are told of what a caller wrote
_DIGITS, _SHIFT = 15, 22  # digits and decimal exponent up to which llguidance does not round


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


_EXPECTED: Mapping[str, tuple[tuple[str, ...], Callable[[Any], bool]]] = {
    "a schema": (_ONE, lambda value: isinstance(value, dict | bool)),
    "a list of schemas": (_MANY, lambda value: isinstance(value, list)),
    "an object of schemas": (_NAMED, lambda value: isinstance(value, dict)),
    "a list": (("enum",), lambda value: isinstance(value, list)),
    "a list of texts": (("required",), _is_texts),
    "a type or a list of types": (
        ("type",),
        lambda value: isinstance(value, str) or _is_texts(value),
    ),
    "a text": (("pattern", "$ref", "$schema"), lambda value: isinstance(value, str)),
    "a count": (_COUNTS, lambda value: type(value) is int and value >= 0),
    "a number": (_NUMBERS, lambda value: type(value) in {int, float}),
    "one of " + ", ".join(FORMATS): (("format",), lambda value: value in FORMATS),
}


class Unenforceable(Exception):
    """The sentence says what to change; `place` is what to put behind the field's name."""

    def __init__(self, sentence: str, place: str = "") -> None:
        super().__init__(sentence)
        self.place = place


def read(source: str, loosen: Callable[[Schema], None] | None = None) -> Schema:
    """Raise Unenforceable, or return the schema, each part of which `loosen` may change."""
    try:
        schema = json.loads(source, parse_constant=_refuse_constant)
    except RecursionError:
        raise Unenforceable(f"The JSON schema is nested over {DEEPEST} levels deep.") from None
    except ValueError:
        raise Unenforceable("The JSON schema is not valid JSON.") from None
    if not isinstance(schema, dict):
        raise Unenforceable("The JSON schema must be an object.")
    for number, (part, depth, path) in enumerate(walk(schema)):
        if part.get("uniqueItems") is False:
            del part["uniqueItems"]  # as if it were not said
        if loosen:
            loosen(part)
        _check_at(path, part)
        if depth > DEEPEST or number >= MOST:
            raise Unenforceable(f"The JSON schema has over {DEEPEST} levels or {MOST} parts.")
    return schema


def written(schema: Mapping[str, Any]) -> str:
    """The schema for llguidance, with our options whatever the caller's say."""
    parts = (part for part, _, _ in walk(schema))
    options = {"whitespace_pattern": BLANK} | (_PLAIN if any(map(_is_open, parts)) else {})
    return json.dumps({**schema, "x-guidance": options}, ensure_ascii=False)


def walk(root: Any) -> Iterator[tuple[Schema, int, str]]:
    """Every schema in it with its depth and path; no recursion, for the caller chose the depth."""
    left: list[tuple[Any, int, str]] = [(root, 0, "")]
    while left:
        schema, depth, path = left.pop()
        if isinstance(schema, bool):
            continue
        if not isinstance(schema, dict):
            raise Unenforceable(f"The JSON schema has a part that is no schema{_at(path)}.")
        yield schema, depth, path
        left += [
            (inner, depth + 1, f"{path}.{step}".removeprefix(".")) for step, inner in _inner(schema)
        ]


def _inner(schema: Schema) -> Iterator[tuple[str, Any]]:
    yield from ((word, schema[word]) for word in _ONE if word in schema)
    for word in _MANY:
        yield from ((f"{word}[{n}]", inner) for n, inner in enumerate(schema.get(word, ())))
    for word in _NAMED:
        for name, inner in schema.get(word, {}).items():
            yield f"{word}.{_shown(name)}", inner


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:_LONGEST_NAME])


def _at(path: str) -> str:
    return f" (at {path[-_LONGEST_PATH:]})" if path else ""


def _check_at(path: str, schema: Schema) -> None:
    try:
        _check(schema)
    except Unenforceable as error:
        raise Unenforceable(f"{str(error)[:-1]}{_at(path)}.") from None


def _check(schema: Schema) -> None:
    unenforced = sorted(UNENFORCED & schema.keys())
    if unenforced:
        raise Unenforceable(f"The JSON schema uses {unenforced[0]}, which cannot be enforced.")
    for expected, (words, fits) in _EXPECTED.items():
        wrong = next((word for word in words if word in schema and not fits(schema[word])), None)
        if wrong:
            raise Unenforceable(f"In the JSON schema {wrong} must be {expected}.")
    if not any(draft in schema.get("$schema", _DRAFTS[0]) for draft in _DRAFTS):
        raise Unenforceable(f"In the JSON schema $schema must be of {', '.join(_DRAFTS)}.")
    if any(is_rounded(schema.get(word)) for word in NUMERIC):
        raise Unenforceable(f"In the JSON schema numbers may have {_DIGITS} digits.")
    if has_many_needed(schema):
        raise Unenforceable(
            "In the JSON schema minProperties can be enforced up to one above those required."
        )


def has_many_needed(schema: Schema) -> bool:
    """Whether more members must be there than can be counted."""
    fewest, required = schema.get("minProperties", 0), schema.get("required", ())
    return type(fewest) is int and _is_texts(list(required)) and fewest > len(required) + 1


def _is_open(schema: Schema) -> bool:
    """Whether described and free members stand side by side."""
    free = "properties" in schema and schema.get("additionalProperties") is not False
    return free or "patternProperties" in schema


def is_rounded(value: Any) -> bool:
    """Whether a number in a value would not be written exactly."""
    left = [value]
    while left:
        each = left.pop()
        if type(each) in {int, float} and not _is_short(each):
            return True
        left += each if isinstance(each, list) else []
        left += each.values() if isinstance(each, dict) else []
    return False


def _is_short(number: float) -> bool:
    _, digits, exponent = Decimal(repr(number)).as_tuple()
    return len(digits) <= _DIGITS and isinstance(exponent, int) and abs(exponent) <= _SHIFT


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)  # NaN and the infinities are Python's JSON, nobody else's
