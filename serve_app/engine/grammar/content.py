"""The grammar of an answer's content, by kind of structure."""

import json
from collections.abc import Callable, Mapping

from serve_app.engine.grammar import callers, lark, schema
from serve_app.engine.grammar.loosening import passing_unique_items
from serve_app.engine.grammar.schema import Unenforceable
from serve_app.messages import Structure, StructureKind


def content_grammar(structure: Structure) -> str:
    """Rules of which `content` is the first; Unenforceable says what to change."""
    return _BODIES[structure.kind](structure)


def _object(_: Structure) -> str:
    return f"content: {lark.FREE_OBJECT}"


def _schema(structure: Structure) -> str:
    loosen = None if structure.strict else passing_unique_items
    return f"content: %json {schema.written(schema.read(structure.source, loosen))}"


def _grammar(_: Structure) -> str:
    return f"content: @{callers.NAME}"


def _regex(structure: Structure) -> str:
    source = structure.source
    if len(source) - len(source.rstrip("\\")) & 1:
        raise Unenforceable("The regular expression ends in the middle of an escape.")
    return f"content: REGEX\nREGEX: {lark.pattern(source)}"


def _choice(structure: Structure) -> str:
    try:
        texts = json.loads(structure.source)
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise Unenforceable("A choice must be a list of one or more texts.")
    return f"content: CHOICE\nCHOICE: {lark.either(texts)}"


_BODIES: Mapping[StructureKind, Callable[[Structure], str]] = {
    StructureKind.JSON_OBJECT: _object,
    StructureKind.JSON_SCHEMA: _schema,
    StructureKind.REGEX: _regex,
    StructureKind.CHOICE: _choice,
    StructureKind.GRAMMAR: _grammar,
}
