"""What commands print for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from k8s.ledger import Record
from k8s.road import Outcome, Phase, Road
from k8s.words import why

COLOURS: Final[Mapping[str, str]] = {
    Outcome.PASS: "green",
    Outcome.WAIT: "yellow",
    Outcome.FAIL: "red",
    Phase.PROMOTED: "green",
    Phase.STABLE: "green",
    Phase.ROLLED_BACK: "red",
    Phase.ABORTED: "red",
}
_UNDER_WAY: Final = "cyan"
_SHOWN: Final = 12  # characters of a digest
_UNFOLDED: Final = 500  # columns where nobody looks: a line is a line for grep


def screen() -> Console:
    """Of the terminal's width; where it is none, lines stay whole."""
    console = Console()
    return console if console.is_terminal else Console(width=_UNFOLDED)


def _table(*columns: Column | str) -> Table:
    """As kubectl prints: no lines, names never cut."""
    named = [Column(each, no_wrap=True) if isinstance(each, str) else each for each in columns]
    return Table(*named, box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")


def status(road: Road, now: float) -> RenderableType:
    """The whole road on one screen."""
    parts: list[RenderableType] = [_headline(road), _versions(road)]
    if road.status.verdicts:
        parts.append(_verdicts(road))
    return Group(*parts, Text(why(road, now)))


def _headline(road: Road) -> Text:
    steps = [each.name for each in road.status.plan] if road.status.under_way else []
    at = road.status.phase if road.status.stable else "-"  # nobody has looked yet
    phase = Text(at, style=COLOURS.get(at, _UNDER_WAY))
    line = Text.assemble((road.name, "bold"), "  ", phase)
    for name in steps:
        line.append("  ")
        line.append(name, style="bold cyan" if name == road.status.step else "dim")
    return line


def _versions(road: Road) -> Table:
    table = _table(
        "version", "role", Column("weight", justify="right"), "ready", "model", "promoted by"
    )
    for each in road.status.versions:
        version, kept = road.spec.version(each.name), road.status.kept(each.name)
        digest = version.model_digest.removeprefix("sha256:")[:_SHOWN] if version else ""
        table.add_row(
            each.name,
            str(each.role),
            f"{each.weight} %" if each.weight else "",
            str(each.ready),
            digest,
            Text(kept.by if kept else ""),
        )
    return table


def _verdicts(road: Road) -> Table:
    table = _table("check", "", Column("what was seen", overflow="fold"), "samples")
    for each in road.status.verdicts:
        light = Text(each.outcome, style=COLOURS[each.outcome])
        samples = "" if each.samples is None else str(each.samples)
        table.add_row(each.check, light, Text(each.message), samples)
    return table


def history(records: Sequence[Record]) -> Table:
    """The ledger, newest last."""
    wide = Column("what happened", overflow="fold")
    table = _table("no", "when", "to", "version", wide, "by")
    for lost, record in _with_gaps(records):
        _mark(table, lost)
        body = record.body
        to = Text(body["to"], style=COLOURS.get(body["to"], _UNDER_WAY))
        what = Text(body["message"])
        table.add_row(
            str(record.number), body["at"][:19], to, body["version"], what, Text(body["by"])
        )
    return table


def _with_gaps(records: Sequence[Record]) -> Iterator[tuple[range, Record]]:
    """Each with the numbers that are missing before it."""
    before = 0
    for record in records:
        yield range(before + 1, record.number), record
        before = record.number


def _mark(table: Table, lost: range) -> None:
    """One row, however many they are: a forged number may be as great as it likes."""
    if lost:
        numbers = "\u2013".join(map(str, dict.fromkeys((lost[0], lost[-1]))))
        table.add_row(numbers, Text("missing", style="red"))


def digests(records: Sequence[Record]) -> Table:
    """What each transition was about, as an auditor compares it."""
    names = ("modelDigest", "imageDigest", "chartVersion", "configDigest", "evaluationDigest")
    table = _table(
        "no", "to", "version", "model", "image", "chart", "configuration", "report", "by"
    )
    for lost, record in _with_gaps(records):
        _mark(table, lost)
        body = record.body
        what = (str(body.get(name, "")).removeprefix("sha256:")[:_SHOWN] for name in names)
        table.add_row(str(record.number), body["to"], body["version"], *what, Text(body["by"]))
    return table


def events(told: Sequence[Mapping[str, Any]]) -> Table:
    """The road's Events, oldest first."""
    table = _table("when", "", Column("what was told", overflow="fold"))
    for each in told:
        colour = "red" if each["type"] == "Warning" else "green"
        table.add_row(
            each["lastTimestamp"], Text(each["reason"], style=colour), Text(each["message"])
        )
    return table


def difference(rows: Sequence[tuple[str, str, str]], names: tuple[str, str]) -> Table:
    """Two versions side by side; what differs stands out."""
    table = _table("", *names)
    for name, one, other in rows:
        style = "" if one == other else "yellow"
        table.add_row(name, Text(one, style=style), Text(other, style=style))
    return table
