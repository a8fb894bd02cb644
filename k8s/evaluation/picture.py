"""The picture of an evaluation: every score with its interval, candidate over incumbent."""

from io import BytesIO
from typing import TYPE_CHECKING, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from k8s.evaluation.bootstrap import Interval
from k8s.road import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from k8s.evaluation.comparison import Evaluation

_COLOURS: Final = {Outcome.PASS: "#2e7d32", Outcome.WAIT: "#f9a825", Outcome.FAIL: "#c62828"}
_GREY: Final = "#90a4ae"


def draw(evaluation: "Evaluation") -> bytes:
    """PNG; without a date inside, so that the same report is the same bytes."""
    rows = len(evaluation.lines)
    figure = Figure(figsize=(8, 1.2 + 0.38 * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, (line, verdict) in enumerate(zip(evaluation.lines, evaluation.verdicts, strict=True)):
        _bar(axes, row - 0.12, line.candidate, _COLOURS[verdict.outcome])
        if line.incumbent is not None:
            _bar(axes, row + 0.18, line.incumbent, _GREY)
    axes.set_yticks(range(rows), [line.score for line in evaluation.lines])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.grid(visible=True, axis="x", alpha=0.3)
    against = f", grey: {evaluation.incumbent}" if evaluation.incumbent else ""
    axes.set_title(f"{evaluation.candidate}{against} (mean and 95 % interval)")
    written = BytesIO()
    canvas.print_png(written, metadata={"Software": None})
    return written.getvalue()


def _bar(axes: "Axes", place: float, interval: Interval, colour: str) -> None:
    spread = [[interval.mean - interval.low], [interval.high - interval.mean]]
    axes.errorbar(interval.mean, place, xerr=spread, fmt="o", color=colour, markersize=4, capsize=2)
