"""What may be set, drawn from the settings' own JSON schema: path, variable, words for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from serve_app.settings import Settings

PREFIX = "GLM_"

Schema = Mapping[str, Any]

# By format, then by type.
_WORDS: Mapping[str | None, str] = {
    "path": "a path",
    "boolean": "true or false",
    "string": "text",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody wrote; `name` is a path or a variable, known or not."""

    name: str
    value: object
    origin: str  # such as "config.yaml, line 3"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the settings, such as engine.page_tokens."""

    path: str
    expected: str
    nested: bool  # a list or mapping
    optional: bool  # may be nothing
    secret: bool

    @property
    def variable(self) -> str:
        return (PREFIX + self.path.replace(".", "__")).upper()


def expectation(schema: Schema) -> str:
    """Say in words what a schema accepts."""
    match schema:
        case {"anyOf": choices}:
            return " or ".join(map(expectation, choices))
        case {"enum": words}:
            return f"one of {', '.join(map(str, words))}"
        case {"type": "array", "items": item}:
            return f"a list, each item {expectation(item)}"
        case {"type": "integer" | "number"}:
            return _number(schema)
    return _WORDS.get(schema.get("format"), _WORDS.get(schema.get("type"), "a mapping"))


def _number(schema: Schema) -> str:
    noun = "a whole number" if schema["type"] == "integer" else "a number"
    match schema:
        case {"minimum": least, "maximum": most}:
            return f"{noun} from {least} to {most}"
        case {"exclusiveMinimum": bound, "maximum": most}:
            return f"{noun} above {bound} and at most {most}"
        case {"minimum": least}:
            return f"{noun} of at least {least}"
        case {"exclusiveMinimum": bound}:
            return f"{noun} above {bound}"
    return noun


def _choices(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf", [schema]))


def _field(path: str, schema: Schema) -> Field:
    choices = _choices(schema)
    return Field(
        path=path,
        expected=expectation(schema),
        nested=any(choice.get("type") in {"array", "object"} for choice in choices),
        optional=any(choice.get("type") == "null" for choice in choices),
        secret=any(choice.get("format") == "password" for choice in choices),
    )


def _sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield name, info.annotation


def fields_of(model: type[BaseModel]) -> dict[str, Field]:
    """Return all fields of a model of sections, by path in order."""
    return {
        f"{section}.{name}": _field(f"{section}.{name}", schema)
        for section, kind in _sections(model)
        for name, schema in kind.model_json_schema()["properties"].items()
    }


FIELDS: Mapping[str, Field] = fields_of(Settings)
VARIABLES: Mapping[str, Field] = {field.variable: field for field in FIELDS.values()}
SECTIONS = frozenset(name for name, _ in _sections(Settings))
