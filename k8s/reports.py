"""The short form of an evaluation, as it lies in the cluster: verdicts and digests, no text."""

import json
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from k8s.errors import BadRoad, Refused
from k8s.road import Phase, Road, Verdict
from k8s.road.wire import WIRE


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Summary:
    """What an evaluation of one model found."""

    version: str
    model_digest: str = ""
    attempt: int = 0
    """Of the road, to bring the version to its users."""
    incumbent: str = ""
    incumbent_digest: str = ""
    digest: str
    """SHA-256 of the whole report."""
    verdicts: tuple[Verdict, ...]


def counts(summary: Summary, road: Road) -> bool:
    """Whether it found anything, in this attempt, on this very model, against who is stable now.

    Where the road knows no digest of the stable version, its name stands for it.
    """
    candidate, stable = road.status.candidate, road.status.stable
    known = _model_of(road, stable)
    return (
        bool(summary.verdicts)
        and (summary.attempt, summary.incumbent) == (road.status.attempt, stable)
        and _bare(summary.model_digest) == _model_of(road, candidate)
        and known in {"", _bare(summary.incumbent_digest)}
    )


def refuse_if_past(road: Road, version: str) -> None:
    """Raises Refused where no report of that version can count any more."""
    status = road.status
    if version == status.stable:
        place = "is the stable version"
    elif status.under_way and version == status.candidate and status.phase is not Phase.EVALUATING:
        place = f"is past its evaluation, at {status.step}"
    else:
        return
    raise Refused(
        f"{version} {place}: no report of it counts any more. To ask all the same, leave out "
        "--record; the questions then count in the gate's numbers as users' do."
    )


def _model_of(road: Road, name: str | None) -> str:
    version = road.spec.version(name) if name else None
    return _bare(version.model_digest) if version else ""


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:")


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
