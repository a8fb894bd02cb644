"""What a checkpoint is and where its tensors go, in the terms of transformers; nothing is loaded.

Known families: Glm and Glm4 as transformers writes them, and ChatGLM's original format.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import ValidationError

from serve_app.errors import BadModel
from serve_app.models import chatglm, tensors
from serve_app.models.chatglm import ChatGlmConfig, Part
from serve_app.models.tensors import Stored

CONFIG = "config.json"

Family = Literal["glm", "glm4"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """config.json, understood: `fields` are GlmConfig's or Glm4Config's."""

    family: Family
    fields: Mapping[str, Any]
    original: ChatGlmConfig | None = None  # what was converted


Span = tuple[int, int]  # from, and up to


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor of the model: a stored one, or some of its rows or columns."""

    stored: Stored
    rows: tuple[Span, ...] = ()  # below each other; none: all
    columns: Span | None = None  # None: all

    @property
    def shape(self) -> tuple[int, ...]:
        height, width = self.stored.shape[:1], self.stored.shape[1:]
        if self.rows:
            height = (sum(end - begin for begin, end in self.rows),)
        if self.columns:
            width = (self.columns[1] - self.columns[0],)
        return height + width

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return tensors.bytes_of(self.count, self.stored.dtype)

    def part(self, rows: tuple[Span, ...]) -> Self:
        """Some rows of what this one has, which is all of a tensor or one span of it."""
        first = self.rows[0][0] if self.rows else 0
        return replace(self, rows=tuple((first + begin, first + end) for begin, end in rows))


def architecture(folder: Path) -> Architecture:
    """Read config.json; raises BadModel naming the field at fault."""
    fields = _read(folder / CONFIG)
    kind: Any = fields.get("model_type")
    if kind in get_args(Family):
        return Architecture(kind, fields)
    if kind != chatglm.MODEL_TYPE:
        known = ", ".join((*get_args(Family), chatglm.MODEL_TYPE))
        raise BadModel(f"{folder / CONFIG} is of model_type {kind!r}; served are {known}.")
    try:
        original = ChatGlmConfig.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadModel(
            f"{folder / CONFIG} is no ChatGLM that is known here: {where}: {first['msg']}."
        ) from error
    return Architecture("glm", original.fields(), original)


def sources(folder: Path, built: Architecture) -> dict[str, Source]:
    """Where each tensor of the model lies; raises BadModel naming what is missing or unknown.

    Only the original format is checked here: transformers' own names are known to its modules.
    """
    there = tensors.stored(folder)
    if not built.original:
        return {name: Source(tensor) for name, tensor in there.items()}
    parts = built.original.parts()
    refuse_difference(folder, set(parts), set(there) - chatglm.COMPUTED)
    return dict(
        source for name, goals in parts.items() for source in _cut(folder, there[name], goals)
    )


def refuse_difference(folder: Path, wanted: set[str], given: set[str]) -> None:
    """Raise BadModel if the stored tensors are not those wanted."""
    missing, unknown = sorted(wanted - given), sorted(given - wanted)
    if missing:
        raise BadModel(
            f"The weights in {folder} do not fill the model: {len(missing)} missing, "
            f"the first is {missing[0]}."
        )
    if unknown:
        raise BadModel(
            f"The weights in {folder} are of another model: {len(unknown)} unknown, "
            f"the first is {unknown[0]}."
        )


def _cut(folder: Path, tensor: Stored, goals: tuple[Part, ...]) -> Iterator[tuple[str, Source]]:
    rows = goals[-1].rows
    if rows and rows[1] != tensor.shape[0]:
        raise BadModel(
            f"{tensor.name} in {folder} has {tensor.shape[0]} rows, but {CONFIG} says {rows[1]}."
        )
    for goal in goals:
        yield goal.target, Source(tensor, (goal.rows,) if goal.rows else ())


def _read(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadModel(f"{path} is not a readable JSON file.") from error
    if not isinstance(fields, dict):
        raise BadModel(f"{path} must hold a JSON object.")
    return fields
