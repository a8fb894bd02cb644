"""A step as it travels from the first rank to the others; what they need to compute, no more.

Each keeps the sequences it has heard of by the seats they have here; so of a sequence that runs
only its new pages travel. Tokens that are drawn on the first rank's card need not travel at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from serve_app.engine.batch import Batch, Row
from serve_app.engine.choice import Choice
from serve_app.engine.gpu.seats import Change, Seats
from serve_app.engine.moves import Moves
from serve_app.engine.sequence import Sequence as Tokens

_ANY = 0  # in place of a token that only the first rank's card knows: it embeds for all

Arrival = tuple[int, int | None]  # tokens of the prompt, and alternatives asked for to each


@dataclass(frozen=True, slots=True)
class Order:
    """A batch by column, those with a single token first."""

    singles: int
    seats: list[int]
    starts: list[int]
    counts: list[int]
    draws: list[bool]
    tokens: list[int]  # of all rows one after the other
    drafts: Mapping[int, tuple[int, ...]]  # by row
    arrivals: Mapping[int, Arrival]  # by seat: who was not heard of yet, or not with these pages
    changes: list[Change]
    copies: tuple[tuple[int, int], ...]
    moves: Moves  # each rank's pages go to its own host memory


class Dictation:
    """Turns batches into orders; every one must be heard, in this order."""

    def __init__(self, seats: int) -> None:
        self._seats = Seats(seats)

    def of(self, batch: Batch) -> Order:
        rows = batch.rows
        seats, changes = self._seats.seat(rows)
        new = {change.seat for change in changes if not change.begin}
        return Order(
            singles=len(batch.decodes),
            seats=seats,
            starts=[row.start for row in rows],
            counts=[row.count for row in rows],
            draws=[row.draws for row in rows],
            tokens=[token for row in rows for token in _known(row)],
            drafts={place: row.draft for place, row in enumerate(rows) if row.draft},
            arrivals={
                seat: _arrival(row.sequence)
                for seat, row in zip(seats, rows, strict=True)
                if seat in new
            },
            changes=changes,
            copies=batch.copies,
            moves=batch.moves,
        )


def _known(row: Row) -> Sequence[int]:
    return row.sequence.tokens[row.start : row.start + row.count] or (_ANY,)


def _arrival(sequence: Tokens) -> Arrival:
    return sequence.prompt_tokens, sequence.choice.prompt_logprobs


class Hearing:
    """Turns orders into batches of sequences that stand for the first rank's."""

    def __init__(self) -> None:
        self._sequences: dict[int, Tokens] = {}

    def batch(self, order: Order) -> Batch:
        for seat, (tokens, logprobs) in order.arrivals.items():
            choice = Choice(prompt_logprobs=logprobs)
            self._sequences[seat] = Tokens([0] * tokens, 1, choice)
        for change in order.changes:
            self._sequences[change.seat].pages.extend(change.pages)
        rows = tuple(self._rows(order))
        singles, chunks = rows[: order.singles], rows[order.singles :]
        return Batch(singles, chunks, order.copies, moves=order.moves)

    def _rows(self, order: Order) -> Iterator[Row]:
        begin = 0
        columns = zip(order.seats, order.starts, order.counts, order.draws, strict=True)
        for place, (seat, start, count, draws) in enumerate(columns):
            sequence = self._sequences[seat]
            _note(sequence.tokens, start, order.tokens[begin : begin + count])
            begin += count
            draft = order.drafts.get(place, ())
            yield Row(sequence, start, count, draws, sequence.pages, draft)


def _note(tokens: list[int], start: int, known: list[int]) -> None:
    """What lies before was computed already: its tokens do not matter."""
    if start > len(tokens):
        tokens.extend([0] * (start - len(tokens)))
    tokens[start : start + len(known)] = known
