"""Which sequence sits where on the card: its page table and its last token stay there.

A seat keeps between steps what would otherwise travel with each: only new pages do.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

from serve_app.engine.scheduler import Row
from serve_app.engine.sequence import Sequence


@dataclass(slots=True)
class _Seat:
    number: int
    pages: list[int] = field(default_factory=list)  # as written to the card
    seen: list[int] = field(default_factory=list)  # those of whom they were read: only ever grow


@dataclass(frozen=True, slots=True)
class Change:
    """Pages to write into the page table from one place of a seat's row on."""

    seat: int
    begin: int
    pages: list[int]


class Seats:
    """Seats of one card; whoever was not seen longest gives his up."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count - 1, -1, -1))
        self._taken: OrderedDict[Sequence, _Seat] = OrderedDict()  # longest unseen first

    def seat(self, rows: Iterable[Row]) -> tuple[list[int], list[Change]]:
        """Return each row's seat, and what is new in the page tables; no more rows than seats."""
        seats = [self._find(row.sequence) for row in rows]
        changes = [
            change for row, seat in zip(rows, seats, strict=True) if (change := _change(seat, row))
        ]
        return [seat.number for seat in seats], changes

    def _find(self, sequence: Sequence) -> _Seat:
        seat = self._taken.get(sequence)
        if seat is None:
            seat = self._taken[sequence] = _Seat(self._vacate())
        self._taken.move_to_end(sequence)
        return seat

    def _vacate(self) -> int:
        if self._free:
            return self._free.pop()
        _, seat = self._taken.popitem(last=False)
        return seat.number


def _change(seat: _Seat, row: Row) -> Change | None:
    """Pages are appended, unless the sequence was sent away and came back with others."""
    known = len(seat.pages)
    if row.pages is seat.seen and len(row.pages) == known:
        return None
    seat.seen = row.pages
    if row.pages[:known] != seat.pages:
        known = 0
    if known == len(row.pages):
        return None
    change = Change(seat.number, known, row.pages[known:])
    seat.pages = list(row.pages)
    return change
