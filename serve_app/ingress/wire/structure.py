"""What shape an answer must have: OpenAI's `response_format`, vLLM's names old and new."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, FailFast, Field, StringConstraints

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire.strict import Wire, as_json, only
from serve_app.messages import Structure, StructureKind

_Choices = Annotated[
    list[Annotated[str, StringConstraints(min_length=1)]],
    FailFast(),
    Field(min_length=1, max_length=1024),
]
_Regex = Annotated[str, StringConstraints(min_length=1)]
_Grammar = Annotated[str, StringConstraints(min_length=1)]


def _object_or_text(schema: Any) -> Any:
    if not isinstance(schema, dict | str):
        raise ValueError  # noqa: TRY004 -- pydantic takes no other
    return schema


_Schema = Annotated[Any, AfterValidator(_object_or_text)]


class JsonSchema(Wire):
    """OpenAI's wrapping of a schema.

    An answer follows it to the letter, `strict` or not; but one that is not strict may say
    `uniqueItems`, which cannot be enforced.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    schema_: dict[str, Any] = Field(alias="schema", default_factory=dict)
    description: Any = None
    strict: bool = False


class ResponseFormat(Wire):
    """OpenAI's way to say it."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Wire):
    """vLLM's way to say it."""

    json_: _Schema = Field(alias="json", default=None)
    regex: _Regex | None = None
    choice: _Choices = Field(default_factory=list)
    json_object: bool = False
    grammar: _Grammar | None = None
    disable_fallback: Any = None  # there is one way to enforce a shape
    disable_any_whitespace: Annotated[Any, only(False)] = None
    disable_additional_properties: Annotated[Any, only(False)] = None
    whitespace_pattern: Annotated[Any, only()] = None
    structural_tag: Annotated[Any, only()] = None


class StructureFields(Wire):
    """What every kind of text request may say about the shape of its answer."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: _Schema = None
    guided_regex: _Regex | None = None
    guided_choice: _Choices = Field(default_factory=list)
    guided_grammar: _Grammar | None = None
    guided_decoding_backend: Any = None  # there is one
    guided_whitespace_pattern: Annotated[Any, only()] = None
    structural_tag: Annotated[Any, only()] = None


def structure(fields: StructureFields) -> Structure | None:
    """None: any text. Raises InvalidRequest where two shapes are asked for at once."""
    wishes = [replace(wish, param=param) for param, wish in _wishes(fields)]
    if len(wishes) > 1:
        names = "' and '".join(wish.param for wish in wishes[:2])
        raise InvalidRequest(f"'{names}' exclude each other; send one of them.", wishes[1].param)
    return wishes[0] if wishes else None


def _wishes(fields: StructureFields) -> Iterator[tuple[str, Structure]]:
    if fields.response_format is not None:
        yield from _openai(fields.response_format)
    if fields.structured_outputs is not None:
        yield from _vllm(fields.structured_outputs)
    older = StructuredOutputs.model_construct(
        json_=fields.guided_json,
        regex=fields.guided_regex,
        choice=fields.guided_choice,
        grammar=fields.guided_grammar,
    )
    yield from _named("guided_", older)


def _openai(wish: ResponseFormat) -> Iterator[tuple[str, Structure]]:
    param = "response_format"
    _check_whole(wish, f"{param}.json_schema")
    if wish.type == "json_object":
        yield param, Structure(StructureKind.JSON_OBJECT)
    if wish.json_schema is not None:
        source = as_json(wish.json_schema.schema_, f"{param}.json_schema.schema")
        yield param, Structure(StructureKind.JSON_SCHEMA, source, wish.json_schema.strict)


def _check_whole(wish: ResponseFormat, param: str) -> None:
    if wish.type == "json_schema" and wish.json_schema is None:
        raise InvalidRequest(
            f"'{param}' is missing; send an object with 'name' and 'schema'.", param
        )
    if wish.type != "json_schema" and wish.json_schema is not None:
        raise InvalidRequest(
            f"'{param}' belongs to the type json_schema; set the type or leave it out.", param
        )


def _vllm(wish: StructuredOutputs) -> Iterator[tuple[str, Structure]]:
    wishes = list(_named("structured_outputs.", wish))
    if not wishes:
        raise InvalidRequest(
            "'structured_outputs' must have one of 'json', 'json_object', 'regex', 'choice' and"
            " 'grammar'.",
            "structured_outputs",
        )
    yield from wishes


def _named(prefix: str, wish: StructuredOutputs) -> Iterator[tuple[str, Structure]]:
    if wish.json_ is not None:
        param = f"{prefix}json"
        text = wish.json_ if isinstance(wish.json_, str) else as_json(wish.json_, param)
        yield param, Structure(StructureKind.JSON_SCHEMA, text)
    if wish.json_object:
        yield f"{prefix}json_object", Structure(StructureKind.JSON_OBJECT)
    if wish.regex is not None:
        yield f"{prefix}regex", Structure(StructureKind.REGEX, wish.regex)
    if wish.choice:
        source = as_json(wish.choice, f"{prefix}choice")
        yield f"{prefix}choice", Structure(StructureKind.CHOICE, source)
    if wish.grammar is not None:
        yield f"{prefix}grammar", Structure(StructureKind.GRAMMAR, wish.grammar)
