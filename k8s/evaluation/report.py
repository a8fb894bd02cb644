"""An evaluation as JSON for programs, Markdown for a merge request and JUnit for GitLab."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from k8s.evaluation.comparison import Evaluation
from k8s.evaluation.picture import draw
from k8s.reports import render_summary
from k8s.road import Outcome

_SIGNS = {Outcome.PASS: "✅", Outcome.WAIT: "⏳", Outcome.FAIL: "❌"}


def write(evaluation: Evaluation, folder: Path) -> None:
    """report.json, summary.json, summary.md, junit.xml and scores.png."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(as_json(evaluation), encoding="utf-8")
    (folder / "summary.json").write_text(render_summary(evaluation.summary()), encoding="utf-8")
    (folder / "summary.md").write_text(as_markdown(evaluation), encoding="utf-8")
    (folder / "junit.xml").write_bytes(as_junit(evaluation))
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
    yield f"## {_SIGNS[worst]} {evaluation.candidate}{against}: {worst}"
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
        yield f"| {_SIGNS[each.outcome]} | {each.check} | {each.message} | {each.samples} |"
    yield ""


def _tasks(evaluation: Evaluation) -> Iterator[str]:
    yield "| task | candidate | incumbent |"
    yield "|---|---|---|"
    for task, means in evaluation.by_task.items():
        shown = (f"{means[name]:.3f}" if name in means else "" for name in _SIDES)
        yield f"| {task} | {' | '.join(shown)} |"


_SIDES = ("candidate", "incumbent")


def as_junit(evaluation: Evaluation) -> bytes:
    """A verdict is a test case: FAIL a failure, WAIT an error."""
    suite = ET.Element("testsuite", name="evaluation", tests=str(len(evaluation.verdicts)))
    for each in evaluation.verdicts:
        case = ET.SubElement(
            suite, "testcase", classname=evaluation.candidate, name=each.check, time="0"
        )
        if each.outcome is Outcome.FAIL:
            ET.SubElement(case, "failure", message=each.message)
        elif each.outcome is Outcome.WAIT:
            ET.SubElement(case, "error", message=f"not enough to tell: {each.message}")
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    whole: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return whole
