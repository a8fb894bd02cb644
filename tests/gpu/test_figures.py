import json
import sys

import pytest

from tests.gpu.arguments import given, numbers
from tests.gpu.figures import Figures


def test_lines_are_told_at_once_and_tables_in_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    with Figures() as figures:
        figures.tell(ready_s=1.5)
        figures.tell(streams=1, tokens_s=2.0, steps=[1, 2])
        figures.tell(streams=8, tokens_s=None, steps=[])
        *lines, last = capsys.readouterr().out.splitlines()
        assert json.loads(last) == {"streams": 8, "tokens_s": None, "steps": []}
        assert len(lines) == 2
    assert capsys.readouterr().out.splitlines() == [
        "",
        "| streams | tokens_s |",
        "| --- | --- |",
        "| 1 | 2.0 |",
        "| 8 |  |",
        "",
        "| figure | found |",
        "| --- | --- |",
        "| ready_s | 1.5 |",
    ]


def test_a_run_that_breaks_off_shows_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures()
    figures.tell(ready_s=1.5)
    with pytest.raises(KeyboardInterrupt), figures:
        raise KeyboardInterrupt
    assert "| ready_s | 1.5 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "cards", "streams"),
    [("", [2], [1, 8]), ("4", [4], [1, 8]), ("4 1,32 --profile", [4], [1, 32])],
)
def test_what_is_not_given_is_as_ever(
    line: str, cards: list[int], streams: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *line.split()])
    assert numbers(0, (2,)) == cards
    assert numbers(1, (1, 8)) == streams
    assert "--profile" not in given()
