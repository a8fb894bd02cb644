"""One evaluation, from golden sets to verdicts; the same answers give the same report."""

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from k8s.evaluation import golden, verdicts
from k8s.evaluation.asking import Answer, Endpoint, ask
from k8s.evaluation.golden import Question
from k8s.evaluation.scores import score
from k8s.evaluation.verdicts import Line
from k8s.reports import Summary
from k8s.road import Verdict

_CACHE_FORM: Final = "2"  # raised when answers are kept in another form

_Asked = Callable[[Endpoint, Sequence[Question]], tuple[Answer, ...]]


@dataclass(frozen=True, slots=True)
class Side:
    """One version, as it is asked; `digest` is its model's, without which nothing is cached."""

    name: str
    endpoint: Endpoint
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Latency:
    """Of the answers that came, in seconds; told, not judged: the gates do that under load."""

    first_p50: float
    first_p95: float
    whole_p50: float
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that the reports are made of."""

    candidate: str
    candidate_digest: str
    incumbent: str
    incumbent_digest: str
    golden_digest: str
    questions: int
    lines: tuple[Line, ...]
    verdicts: tuple[Verdict, ...]
    by_task: Mapping[str, Mapping[str, float]]
    """Mean of each task's first own score, candidate and incumbent."""
    latency: Mapping[str, Latency]
    errors: Mapping[str, str]
    """Of the candidate, by question."""

    @property
    def digest(self) -> str:
        """Of what was found; times are left out, for they are never the same."""
        told = {**asdict(self), "latency": None}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def summary(self, attempt: int = 0) -> Summary:
        """What the road needs of it; 0 is of no attempt."""
        return Summary(
            version=self.candidate,
            model_digest=self.candidate_digest,
            attempt=attempt,
            incumbent=self.incumbent,
            incumbent_digest=self.incumbent_digest,
            digest=self.digest,
            verdicts=self.verdicts,
        )


def evaluate(
    questions: Sequence[Question],
    candidate: Side,
    incumbent: Side | None = None,
    *,
    margin: float,
    cache: Path | None = None,
    asked: _Asked | None = None,
) -> Evaluation:
    """Ask both, one after the other so that neither slows the other, and compare.

    A candidate is always asked: its model may be an old one in a new image. What it answers is
    kept for the day when it is the incumbent.
    """
    asked = asked or (lambda endpoint, asking: asyncio.run(ask(endpoint, asking)))
    answers = [_asked(candidate, questions, cache, asked)]
    if incumbent:
        answers.append(_known(incumbent, questions, cache, asked))
    scored = [
        [score(question, answer) for question, answer in zip(questions, each, strict=True)]
        for each in answers
    ]
    found = verdicts.lines(scored[0], scored[1] if incumbent else None)
    names = ("candidate", "incumbent")
    return Evaluation(
        candidate=candidate.name,
        candidate_digest=candidate.digest,
        incumbent=incumbent.name if incumbent else "",
        incumbent_digest=incumbent.digest if incumbent else "",
        golden_digest=golden.digest(questions),
        questions=len(questions),
        lines=found,
        verdicts=verdicts.judge(found, margin),
        by_task=_by_task(questions, dict(zip(names, scored, strict=False))),
        latency={name: _latency(each) for name, each in zip(names, answers, strict=False)},
        errors={each.id: each.error for each in answers[0] if each.error},
    )


def _kept(side: Side, questions: Sequence[Question], cache: Path | None) -> Path | None:
    """Where answers to these very questions lie; a version never changes under its name."""
    if cache is None or not side.digest:
        return None
    whole = f"{_CACHE_FORM} {side.name} {side.digest} {golden.digest(questions)}"
    return cache / f"{hashlib.sha256(whole.encode()).hexdigest()}.json"


def _known(
    side: Side, questions: Sequence[Question], cache: Path | None, asked: _Asked
) -> tuple[Answer, ...]:
    """As it answered before; asked where that is not known."""
    kept = _kept(side, questions, cache)
    if kept is None or not kept.exists():
        return _asked(side, questions, cache, asked)
    return tuple(_answer(each) for each in json.loads(kept.read_text(encoding="utf-8")))


def _asked(
    side: Side, questions: Sequence[Question], cache: Path | None, asked: _Asked
) -> tuple[Answer, ...]:
    """Asked now, and kept unless something went wrong."""
    kept = _kept(side, questions, cache)
    answers = asked(side.endpoint, questions)
    if kept and not any(each.error for each in answers):
        kept.parent.mkdir(parents=True, exist_ok=True)
        plain = [asdict(each) for each in answers]
        kept.write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")
    return answers


def _answer(plain: dict[str, Any]) -> Answer:
    return Answer(**{**plain, "calls": tuple(plain["calls"])})


def _by_task(
    questions: Sequence[Question], scored: Mapping[str, Sequence[Mapping[str, float]]]
) -> dict[str, dict[str, float]]:
    """A task's first score beside `answered` stands for it."""
    means: dict[str, dict[str, float]] = {}
    for name, scores in scored.items():
        gathered: dict[str, list[float]] = defaultdict(list)
        for question, each in zip(questions, scores, strict=True):
            gathered[question.task].append(list(each.values())[-1 if len(each) == 1 else 1])
        for task, values in gathered.items():
            means.setdefault(task, {})[name] = sum(values) / len(values)
    return means


def _latency(answers: Sequence[Answer]) -> Latency:
    first = [each.first_s for each in answers if each.first_s is not None]
    whole = [each.whole_s for each in answers if each.whole_s is not None]
    if len(first) < 2:  # noqa: PLR2004 -- of one there are no percentiles
        return Latency(0.0, 0.0, 0.0, 0.0)
    return Latency(
        first_p50=median(first),
        first_p95=quantiles(first, n=20)[-1],
        whole_p50=median(whole),
        tokens_per_s=sum(each.tokens for each in answers) / max(sum(whole), 1e-9),
    )
