"""The documents show the tables as they are."""

from pathlib import Path

import pytest

from k8s.drawing import DRAWINGS, drawn
from k8s.gates import GATES, judge
from k8s.phases import Event
from k8s.road import Phase
from tests.release.test_gates import facts

DOCUMENT = Path(__file__).parents[2] / "docs/releases.md"


def test_the_document_is_drawn_from_the_tables() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert drawn(text) == text, "draw it anew: python -m k8s.drawing docs/releases.md"


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_drawing_stands_in_the_document(name: str) -> None:
    assert f"<!-- drawn: {name} -->" in DOCUMENT.read_text(encoding="utf-8")


def test_a_changed_drawing_is_drawn_anew_and_all_else_left() -> None:
    text = "before\n<!-- drawn: steps -->\nold\n<!-- end -->\nafter\n"
    made = drawn(text)
    assert "canary-10" in made
    assert "old" not in made
    assert made.startswith("before\n")
    assert made.endswith("<!-- end -->\nafter\n")


def test_every_phase_and_event_is_in_the_table() -> None:
    table = "\n".join(DRAWINGS["transitions"]())
    assert all(each in table for each in (*Phase, *Event))


def test_checks_are_named_as_their_verdicts_are() -> None:
    table = "\n".join(DRAWINGS["gates"]())
    for phase in GATES:
        for verdict in judge(phase, facts()):
            assert f"| {verdict.check} |" in table
