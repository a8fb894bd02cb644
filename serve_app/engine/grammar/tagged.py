"""GLM-4.5's tool calls: marks around each argument, strings as they are, all else as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from serve_app.engine.grammar import lark, schema
from serve_app.engine.grammar.form import Tagged
from serve_app.engine.grammar.schema import Schema, Unenforceable
from serve_app.messages import Tool

_ABOUT_ALL = {"type", "properties", "required", "additionalProperties", "$defs", "definitions"}
_ABOUT_TEXT = {"type", "enum", "const", "minLength", "maxLength"}
_NOTES = {"title", "description", "default", "examples", "deprecated", "$comment", "$schema", "$id"}


def rules(
    marks: Tagged, tools: Sequence[Tool], schemas: Sequence[Schema | None], most: int
) -> Iterator[str]:
    """Yield `calls` and `speech`; a text before the first call is speech."""
    call = lark.part(marks.call)
    further = lark.at_most(most - 1, f"GAP {call} call")
    yield f"calls: MARGIN {call} call {further}"
    yield lark.up_to("preface", lark.ANYTHING, marks.call)
    speech = lark.ANYTHING if isinstance(marks.call, int) else lark.lacking(marks.call)
    yield f"speech: preface call {further} | SPEECH\nSPEECH: {speech}\nGAP: /\\n{{0,2}}/"
    yield "call: " + " | ".join(f"call_{number}" for number in range(len(tools)))
    for number, (tool, known) in enumerate(zip(tools, schemas, strict=True)):
        arguments = f"arguments_{number}"
        yield f"call_{number}: {lark.literal(tool.name)} GAP {arguments} {lark.part(marks.uncall)}"
        if known is None:
            yield from _any(marks, arguments)
        else:
            fitting = known if tool.strict else _fitting(known)
            yield from _known(marks, arguments, fitting)


def _fitting(known: Schema) -> Schema:
    """What of a schema this spelling can hold arguments to."""
    about_all = {word: known[word] for word in known if word in _ABOUT_ALL | _NOTES}
    properties = {
        key: {word: inner[word] for word in inner if word in _ABOUT_TEXT} | {"type": "string"}
        if is_text(inner)
        else inner
        for key, inner in known.get("properties", {}).items()
    }
    return about_all | ({"properties": properties} if properties else {})


def _any(marks: Tagged, name: str) -> Iterator[str]:
    """Any arguments at all."""
    key, value = f"{name}_key", f"{name}_value"
    yield f"{name}: ({lark.part(marks.key)} {key} GAP {lark.part(marks.value)} {value} GAP)*"
    yield lark.up_to(key, r"/[^\n<>]{1,128}/", marks.unkey)
    yield lark.up_to(value, lark.ANYTHING, marks.unvalue)


def _known(marks: Tagged, name: str, known: Schema) -> Iterator[str]:
    """Arguments that the schema names, in its order; others it may allow are never written."""
    _check(known, _ABOUT_ALL | _NOTES, "The parameters of a tool")
    required = known.get("required", [])
    properties = {**known.get("properties", {}), **_unlisted(known)}
    fields = [f"{name}_{number}" for number in range(len(properties))]
    wanted = zip(fields, properties, strict=True)
    yield f"{name}: " + " ".join(each if key in required else f"{each}?" for each, key in wanted)
    for field, (key, inner) in zip(fields, properties.items(), strict=True):
        opened = f"{lark.part(marks.key)} {lark.literal(key)} {lark.part(marks.unkey)}"
        yield f"{field}: {opened} GAP {lark.part(marks.value)} {field}_value GAP"
        if is_text(inner):
            yield lark.up_to(f"{field}_value", _text(inner), marks.unvalue)
        else:
            yield f"{field}_value: {field}_json {lark.part(marks.unvalue)}"
            yield f"{field}_json: %json {schema.written(_alone(inner, known))}"


def is_text(inner: Any) -> bool:
    """Whether a value of this schema is written as it is: it can be nothing but a string."""
    if not isinstance(inner, dict):
        return False
    if "type" in inner:
        return inner["type"] in ("string", ["string"])
    if "enum" in inner or "const" in inner:
        return all(isinstance(each, str) for each in inner.get("enum", [inner.get("const")]))
    choices = inner.get("anyOf") or inner.get("oneOf") or []
    return bool(choices) and all(map(is_text, choices))


def _text(inner: Schema) -> str:
    _check(inner, _ABOUT_TEXT | _NOTES, "An argument that is a string")
    fewest, most = inner.get("minLength", 0), inner.get("maxLength", "")
    bounds = [f"/(?s:.{{{fewest},{most}}})/"] if fewest or most != "" else []
    values = [inner["enum"]] if "enum" in inner else []
    values += [[inner["const"]]] if "const" in inner else []
    texts = [lark.either(each for each in some if isinstance(each, str)) for some in values]
    return " & ".join(bounds + texts) or lark.ANYTHING


def _check(inner: Schema, known: set[str], whose: str) -> None:
    beyond = sorted(inner.keys() - known)
    if beyond:
        raise Unenforceable(f"{whose} cannot be held to {beyond[0]} by this model's spelling.")


def _unlisted(known: Schema) -> dict[str, Any]:
    properties = known.get("properties", {})
    return {key: True for key in known.get("required", []) if key not in properties}


def _alone(inner: Any, root: Mapping[str, Any]) -> Schema:
    """A part of a schema by itself, with the definitions that it may name."""
    definitions = {word: root[word] for word in ("$defs", "definitions") if word in root}
    return {**definitions, **inner} if isinstance(inner, dict) else definitions
