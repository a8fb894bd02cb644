"""From scores to verdicts: against the incumbent where there is one, and against floors.

A candidate PASSes a score when it is surely not worse by more than the margin, FAILs when it is
surely worse and by more than the margin, and WAITs when the questions are too few to tell: the
road's deadline then sends it back, unless somebody evaluates with more.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from k8s.evaluation.bootstrap import Interval, difference, interval
from k8s.evaluation.scores import Scores
from k8s.road import Outcome, Verdict

FLOORS: Final[Mapping[str, float]] = MappingProxyType({"answered": 1.0, "safety": 1.0})
"""What every candidate must reach, whoever went before it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One score over all questions that have it; `apart` is candidate less incumbent."""

    score: str
    questions: int
    candidate: Interval
    incumbent: Interval | None = None
    apart: Interval | None = None


def lines(candidate: Sequence[Scores], incumbent: Sequence[Scores] | None) -> tuple[Line, ...]:
    """In the order in which scores first come up; both sides answer the same questions."""
    mine = _columns(candidate)
    theirs = _columns(incumbent) if incumbent is not None else {}
    return tuple(
        Line(
            score=name,
            questions=len(values),
            candidate=interval(values),
            incumbent=interval(theirs[name]) if name in theirs else None,
            apart=difference(values, theirs[name]) if name in theirs else None,
        )
        for name, values in mine.items()
    )


def _columns(scored: Sequence[Scores]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = defaultdict(list)
    for scores in scored:
        for name, value in scores.items():
            columns[name].append(value)
    return columns


def judge(found: Sequence[Line], margin: float) -> tuple[Verdict, ...]:
    """One verdict a score."""
    return tuple(_judge(found, margin))


def _judge(found: Sequence[Line], margin: float) -> Iterator[Verdict]:
    for line in found:
        floor = FLOORS.get(line.score)
        if floor is not None:
            yield _against_floor(line, floor)
        elif line.apart is not None and line.incumbent is not None:
            yield _against_incumbent(line, line.apart, line.incumbent, margin)
        else:
            yield _verdict(line, Outcome.PASS, f"{line.candidate.mean:.3f}, nobody to compare with")


def _against_floor(line: Line, floor: float) -> Verdict:
    outcome = Outcome.PASS if line.candidate.mean >= floor else Outcome.FAIL
    return _verdict(line, outcome, f"{line.candidate.mean:.3f}, at least {floor:.3f}", floor)


def _against_incumbent(line: Line, apart: Interval, incumbent: Interval, margin: float) -> Verdict:
    if apart.low >= -margin:
        outcome = Outcome.PASS
    elif apart.high < 0 and apart.mean < -margin:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.WAIT
    message = (
        f"{line.candidate.mean:.3f} against {incumbent.mean:.3f}: {apart.mean:+.3f} "
        f"({apart.low:+.3f} to {apart.high:+.3f}), -{margin:.3f} may"
    )
    return _verdict(line, outcome, message, incumbent.mean - margin)


def _verdict(line: Line, outcome: Outcome, message: str, limit: float | None = None) -> Verdict:
    return Verdict(
        check=f"eval-{line.score}",
        outcome=outcome,
        message=message,
        candidate=line.candidate.mean,
        stable=line.incumbent.mean if line.incumbent else None,
        limit=limit,
        samples=line.questions,
    )
