"""One step, decided: which tokens of which sequences go through the model together."""

from dataclasses import dataclass, field

from serve_app.engine.moves import NOTHING, Moves, Recall
from serve_app.engine.sequence import Lane, Sequence


@dataclass(eq=False, slots=True)  # not frozen: built for every token, that would cost threefold
class Row:
    """`count` tokens of one sequence, from `start` on."""

    sequence: Sequence
    start: int
    count: int
    draws: bool  # whether it ends with the last known token, so that the next is drawn
    pages: list[int]  # held when planned; a sequence that ends meanwhile lets go of its own list
    draft: tuple[int, ...] = ()  # tokens that may follow, checked in the same step

    @property
    def is_held(self) -> bool:
        """Whether the sequence has neither ended nor been sent away since the row was planned."""
        return self.sequence.pages is self.pages


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one forward pass: single tokens first, then chunks of prompts."""

    decodes: tuple[Row, ...]
    chunks: tuple[Row, ...] = ()
    copies: tuple[tuple[int, int], ...] = ()  # pages, from and to, before anything is computed
    begun: tuple[Sequence, ...] = ()  # left the line in this step, for the first time or again
    moves: Moves = NOTHING  # before anything is computed or copied
    recalls: tuple[Recall, ...] = ()  # whose pages come back by those
    rests: bool = False  # whether documents stand back in it for chats
    drawing: list[Row] = field(init=False)
    """Rows that draw a token, in the order in which tokens are returned."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "drawing", [row for row in self.rows if row.draws])

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.decodes + self.chunks

    @property
    def is_drafted(self) -> bool:
        """Whether how far its sequences get is only known once it is read."""
        return any(row.draft for row in self.decodes)

    @property
    def chunk_tokens(self) -> int:
        return sum(row.count for row in self.chunks)

    @property
    def has_documents(self) -> bool:
        """Whether the next step may be a document's, which nobody should have to wait for twice."""
        return self.rests or any(row.sequence.lane is Lane.LONG for row in self.chunks)

    def halves(self) -> "tuple[Batch, ...]":
        """Two batches that compute the same in turn; none if this one cannot be cut."""
        rows = self.rows
        middle = len(rows) // 2
        return tuple(self._part(part) for part in (rows[:middle], rows[middle:])) if middle else ()

    def held(self) -> "Batch":
        """What is left to compute for sequences that still go on; no page is moved again."""
        return self._part(tuple(row for row in self.rows if row.is_held))

    def _part(self, rows: tuple[Row, ...]) -> "Batch":
        held = {page for row in rows for page in row.pages}
        return Batch(
            decodes=tuple(row for row in rows if row in self.decodes),
            chunks=tuple(row for row in rows if row in self.chunks),
            copies=tuple(copy for copy in self.copies if copy[1] in held),
            begun=tuple(row.sequence for row in rows if row.sequence in self.begun),
        )

    def __bool__(self) -> bool:
        return bool(self.decodes or self.chunks or self.moves)
