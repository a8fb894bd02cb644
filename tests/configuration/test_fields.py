"""The words for a field are drawn from its type, whatever later settings bring."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, TypeAdapter

from serve_app.configuration.fields import FIELDS, VARIABLES, expectation, fields_of


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "a whole number"),
        (Annotated[int, Field(ge=1)], "a whole number of at least 1"),
        (Annotated[int, Field(ge=1, le=9)], "a whole number from 1 to 9"),
        (Annotated[float, Field(gt=0)], "a number above 0"),
        (Annotated[float, Field(gt=0, le=1)], "a number above 0 and at most 1"),
        (bool, "true or false"),
        (str, "text"),
        (SecretStr, "text"),
        (Path | None, "a path or nothing"),
        (Literal["a", "b"], "one of a, b"),
        (tuple[Annotated[int, Field(ge=0)], ...], "a list, each item a whole number of at least 0"),
        (dict[str, int], "a mapping"),
    ],
)
def test_a_type_is_said_in_words(kind: type, words: str) -> None:
    assert expectation(TypeAdapter(kind).json_schema()) == words


def test_every_field_has_one_path_and_one_variable() -> None:
    assert FIELDS["engine.page_tokens"].variable == "GLM_ENGINE__PAGE_TOKENS"
    assert len(VARIABLES) == len(FIELDS)


class Section(BaseModel):
    """As a later session may add."""

    key: SecretStr | None = None
    names: tuple[str, ...] = ()


class Whole(BaseModel):
    """Settings with that section."""

    section: Section = Section()


def test_a_field_knows_whether_it_is_secret_nested_or_may_be_nothing() -> None:
    key, names = fields_of(Whole).values()

    assert (key.secret, key.nested, key.optional) == (True, False, True)
    assert (names.secret, names.nested, names.optional) == (False, True, False)
