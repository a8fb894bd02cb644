"""What of a schema is left where it need not be followed to the letter; changed in place."""

from collections.abc import Iterator

from serve_app.engine.grammar.schema import (
    FORMATS,
    NUMERIC,
    UNENFORCED,
    Schema,
    has_many_needed,
    is_rounded,
)

_BARE = {
    *("type", "properties", "required", "items", "prefixItems", "additionalProperties"),
    *("enum", "const", "anyOf", "$ref", "$defs", "definitions"),
}


def passing_unique_items(schema: Schema) -> None:
    """OpenAI's schemas that are not strict may say so; that no item comes twice is a wish."""
    schema.pop("uniqueItems", None)


def loosen(schema: Schema) -> None:
    """Leave out what cannot be enforced; without it more is allowed, never less."""
    for word in list(_unenforceable(schema)):
        del schema[word]


def strip(schema: Schema) -> None:
    """Leave nothing but types, names and values."""
    loosen(schema)
    if "oneOf" in schema:
        schema.setdefault("anyOf", schema["oneOf"])
    for word in schema.keys() - _BARE:
        del schema[word]


def _unenforceable(schema: Schema) -> Iterator[str]:
    yield from UNENFORCED & schema.keys()
    if "$schema" in schema:
        yield "$schema"
    if schema.get("format", FORMATS[0]) not in FORMATS:
        yield "format"
    if has_many_needed(schema):
        yield "minProperties"
    yield from (word for word in NUMERIC if is_rounded(schema.get(word)))
