"""Pages of values, made from the comments in values.yaml."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w./]*):(?P<value>.*)$")
_INDENT = 2


@dataclass(frozen=True, slots=True)
class Value:
    """One line of the table: its path, its default as YAML, and what its comment says."""

    path: str
    default: str
    text: str


def page(chart: Path) -> str:
    """A table of all values with their defaults, in the order of values.yaml."""
    named = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    values = (chart / "values.yaml").read_text(encoding="utf-8").splitlines()
    rows = (f"| `{row.path}` | {row.default} | {row.text} |" for row in table(values))
    head = (
        f"# Values of {named['name']} {named['version']}",
        "",
        f"{named['description']}. Made from `helm/{chart.name}/values.yaml` by",
        "`python -m tests.chart.generate`; a value that is not listed is refused.",
        "",
        "| value | default | what it does |",
        "|---|---|---|",
    )
    return "\n".join((*head, *rows)) + "\n"


def table(lines: list[str]) -> Iterator[Value]:
    """Values that have a default of their own, or a comment."""
    path: list[str] = []
    comment: list[str] = []
    for number, line in enumerate(lines):
        if line.lstrip().startswith("# "):
            comment.append(line.strip().removeprefix("# "))
        elif found := _KEY.match(line):
            path = [*path[: len(found["indent"]) // _INDENT], found["key"]]
            default = _default(found["value"], lines[number + 1 :])
            if default is not None or comment:
                yield Value(".".join(path), default or "", " ".join(comment))
            comment = []


def _default(value: str, below: list[str]) -> str | None:
    """None for a section: its parts follow."""
    text = value.strip()
    if not text:
        return None
    if below and text == "{}":
        return "`{}`"
    return f"`{json.dumps(yaml.safe_load(text), ensure_ascii=False)}`"
