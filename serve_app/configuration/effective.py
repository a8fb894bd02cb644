"""What holds in the end, and where each value came from."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serve_app.configuration import environment, yaml_file
from serve_app.configuration.fields import FIELDS, PREFIX, SECTIONS, VARIABLES, Given
from serve_app.errors import BadSettings
from serve_app.settings import UNFIT, Settings

DEFAULT_FILE = Path("config.yaml")

_DEFAULT = "default"
_SHOWN_CHARACTERS = 60

# Pydantic's reasons that `Field.expected` puts in better words.
_WORDED = (
    "bool_",
    "dict_",
    "finite_",
    "float_",
    "greater_",
    "int_",
    "less_",
    "literal_",
    "path_",
    "string_type",
    "tuple_",
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings and, by path such as "engine.page_tokens", where each came from."""

    settings: Settings
    origins: Mapping[str, str]


def load(file: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Read `file` (None: config.yaml, if there is one), then the environment over it.

    Raises BadSettings with all mistakes, one a line.
    """
    given = [*_from_file(file), *environment.read(environ)]
    known = {value.name: value for value in given if value.name in FIELDS}  # the last one holds
    settings, wrong = _validated(known)
    mistakes = [*_unknown(given), *wrong]
    if settings is None or mistakes:
        raise BadSettings("\n".join(mistakes))
    return Configuration(
        settings,
        {path: known[path].origin if path in known else _DEFAULT for path in FIELDS},
    )


def _from_file(file: Path | None) -> Iterable[Given]:
    if file is None and not DEFAULT_FILE.exists():
        return ()
    return yaml_file.read(file or DEFAULT_FILE)


def _unknown(given: Iterable[Given]) -> Iterator[str]:
    for value in given:
        if value.name in SECTIONS:
            yield f"{value.name}: expected fields below it (from {value.origin})"
        elif value.name not in FIELDS:
            yield f"{value.name}: not a known setting; {_advice(value.name)} (from {value.origin})"


def _advice(name: str) -> str:
    known = [*VARIABLES] if name.startswith(PREFIX) else [*FIELDS, *SECTIONS]
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else "`glm-serve config` lists all of them"


def _validated(known: Mapping[str, Given]) -> tuple[Settings | None, list[str]]:
    tree: dict[str, dict[str, object]] = {}
    for path, value in known.items():
        section, _, name = path.partition(".")
        tree.setdefault(section, {})[name] = value.value
    try:
        return Settings.model_validate(tree), []
    except ValidationError as error:
        first: dict[str, ErrorDetails] = {}
        for details in error.errors():
            first.setdefault(_path(details), details)
        return None, [_sentence(path, details, known) for path, details in first.items()]


def _path(details: ErrorDetails) -> str:
    """The field at fault; what is wrong deeper inside is said of the field."""
    if details["type"] == UNFIT:
        return str(details["ctx"]["path"])
    return ".".join(map(str, details["loc"][:2])) or "settings"


def _sentence(path: str, details: ErrorDetails, known: Mapping[str, Given]) -> str:
    if path not in known:
        return f"{path}: {_expected(path, details)}"
    field, value = FIELDS[path], known[path]
    expected = _expected(path, details)
    got = "a value that is not shown" if field.secret else _shown(value.value)
    return f"{path}: {expected}, got {got} (from {value.origin})"


def _expected(path: str, details: ErrorDetails) -> str:
    if details["type"] == UNFIT:
        return str(details["ctx"]["expected"])
    if details["type"].startswith(_WORDED) and path in FIELDS:
        return f"expected {FIELDS[path].expected}"
    return details["msg"]


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
