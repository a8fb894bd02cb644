"""Finds in what a caller wrote the part that a complaint of llguidance is about."""

import json
import re
from collections.abc import Callable, Iterator

from serve_app.engine.grammar.form import Form
from serve_app.engine.grammar.schema import Schema, Unenforceable, walk
from serve_app.messages import StructureKind

_PATTERN = re.compile(r"regex parse error:\n    ([^\n]*)\n")
_POINTER = re.compile(r"Pointer '([^'\n]*)'")
_BOUNDS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
)

Fits = Callable[[Schema], bool]


def place(reason: str, form: Form) -> tuple[str, str]:
    """The number of the tool, as in a path, and the path within the schema; empty: not found."""
    fits = _test(reason)
    if not fits:
        return "", ""
    if form.structure and form.structure.kind is StructureKind.JSON_SCHEMA and not form.must_call:
        return "", next(_paths(form.structure.source, fits), "")
    for number, tool in enumerate(form.tools):
        for path in _paths(tool.parameters, fits):
            return f"[{number}].function.parameters", path
    return "", ""


def _paths(source: str, fits: Fits) -> Iterator[str]:
    try:
        yield from (path for part, _, path in walk(json.loads(source)) if fits(part))
    except (ValueError, RecursionError, Unenforceable):
        return


def _test(reason: str) -> Fits | None:
    """How the part at fault is told from others."""
    if found := _PATTERN.search(reason):
        regex = found[1]
        return lambda part: (
            part.get("pattern") == regex or regex in part.get("patternProperties", {})
        )
    if found := _POINTER.search(reason):
        pointer = f"#{found[1]}"
        return lambda part: part.get("$ref") == pointer
    words: dict[str, Fits] = {
        "oneOf": lambda part: "oneOf" in part,
        "Unsatisfiable": _is_empty,
    }
    return next((fits for word, fits in words.items() if word in reason), None)


def _is_empty(part: Schema) -> bool:
    crossed = (part.get(least, 0) > part[most] for least, most in _BOUNDS if most in part)
    return part.get("enum") == [] or any(crossed)
