"""An evaluation as JSON for programs, Markdown for a merge request and JUnit for GitLab."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from k8s.evaluation.comparison import Evaluation
from k8s.evaluation.picture import draw
from k8s.junit import as_junit
from k8s.reports import render_summary
from k8s.road import Outcome
from k8s.words import SIGNS


def write(evaluation: Evaluation, folder: Path) -> None:
    """report.json, summary.json, summary.md, junit.xml and scores.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(as_json(evaluation), encoding="utf-8")
    (folder / "summary.json").write_text(render_summary(evaluation.summary()), encoding="utf-8")
    (folder / "summary.md").write_text(as_markdown(evaluation), encoding="utf-8")
    junit = as_junit("evaluation", evaluation.candidate, evaluation.verdicts)
    (folder / "junit.xml").write_bytes(junit)
    (folder / "scores.png").write_bytes(draw(evaluation))


def as_json(evaluation: Evaluation) -> str:
    """Everything, with its digest."""
    plain: dict[str, Any] = asdict(evaluation) | {"digest": evaluation.digest}
    return json.dumps(plain, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def as_markdown(evaluation: Evaluation) -> str:
    """A table of verdicts, one of tasks, one of times."""
    return "\n".join((*_heading(evaluation), *_verdicts(evaluation), *_tasks(evaluation), ""))


def _heading(evaluation: Evaluation) -> Iterator[str]:
    outcomes = [each.outcome for each in evaluation.verdicts]
    worst = next((each for each in (Outcome.FAIL, Outcome.WAIT) if each in outcomes), Outcome.PASS)
    against = f" against {evaluation.incumbent}" if evaluation.incumbent else ""
    yield f"## {SIGNS[worst]} {evaluation.candidate}{against}: {worst}"
    yield ""
    yield (
        f"{evaluation.questions} questions, golden set `{evaluation.golden_digest[:12]}`, "
        f"report `{evaluation.digest[:12]}`."
    )
    for name, each in evaluation.latency.items():
        yield (
            f"{name}: first token {each.first_p50 * 1000:.0f} ms (p95 "
            f"{each.first_p95 * 1000:.0f} ms), {each.tokens_per_s:.0f} tokens/s."
        )
    yield ""


def _verdicts(evaluation: Evaluation) -> Iterator[str]:
    yield "| | check | what was seen | questions |"
    yield "|---|---|---|---|"
    for each in evaluation.verdicts:
        yield f"| {SIGNS[each.outcome]} | {each.check} | {each.message} | {each.samples} |"
    yield ""


def _tasks(evaluation: Evaluation) -> Iterator[str]:
    yield "| task | candidate | incumbent |"
    yield "|---|---|---|"
    for task, means in evaluation.by_task.items():
        shown = (f"{means[name]:.3f}" if name in means else "" for name in _SIDES)
        yield f"| {task} | {' | '.join(shown)} |"


_SIDES = ("candidate", "incumbent")
