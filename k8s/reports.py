"""The short form of an evaluation, as it lies in the cluster: verdicts and digests, no text."""

import json
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from k8s.errors import BadRoad
from k8s.road import Verdict
from k8s.road.wire import WIRE


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Summary:
    """What an evaluation of one model found."""

    version: str
    model_digest: str = ""
    digest: str
    """SHA-256 of the whole report."""
    verdicts: tuple[Verdict, ...]


_SUMMARY: Final = TypeAdapter(Summary)


def parse_summary(text: str) -> Summary:
    """Raises BadRoad."""
    try:
        return _SUMMARY.validate_json(text)
    except ValidationError as error:
        raise BadRoad("the evaluation's report cannot be read") from error


def render_summary(summary: Summary) -> str:
    """One JSON object."""
    plain: dict[str, Any] = _SUMMARY.dump_python(summary, mode="json", by_alias=True)
    return json.dumps(plain, ensure_ascii=False, sort_keys=True)
