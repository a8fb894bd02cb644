"""What a script finds: a line of JSON as soon as it is known, and in the end a table of all."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

Line = Mapping[str, Any]


def tell(**line: Any) -> dict[str, Any]:
    """Print a line; return it."""
    print(json.dumps(line), flush=True)
    return line


def table(lines: Iterable[Line]) -> None:
    """Print lines of the same names as Markdown; lists and objects are for JSON alone."""
    rows = [{name: value for name, value in line.items() if _is_plain(value)} for line in lines]
    if rows:
        _print_row(rows[0])
        _print_row("---" for _ in rows[0])
    for row in rows:
        _print_row("" if value is None else value for value in row.values())


class Figures:
    """The lines of one run; tables follow when it ends, also where it breaks off."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], list[Line]] = {}

    def tell(self, **line: Any) -> None:
        self._kinds.setdefault(tuple(line), []).append(tell(**line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """A table for each kind of line, by its names; what was found once stands below."""
        for lines in self._kinds.values():
            if len(lines) > 1:
                print()
                table(lines)
        print()
        alone = (lines[0] for lines in self._kinds.values() if len(lines) == 1)
        table({"figure": name, "found": value} for line in alone for name, value in line.items())


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _print_row(cells: Iterable[object]) -> None:
    print(f"| {' | '.join(map(str, cells))} |")
