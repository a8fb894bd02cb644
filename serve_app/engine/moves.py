"""Pages on their way between a device's memory and the host's, as one step makes them move."""

from collections.abc import Sequence
from dataclasses import dataclass

from serve_app.engine.sequence import Sequence as Tokens

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Moves:
    """First what is put away, then what comes back; both before anything is computed."""

    stores: Pairs = ()  # page, slot of the host
    loads: Pairs = ()  # slot of the host, page

    def __bool__(self) -> bool:
        return bool(self.stores or self.loads)


NOTHING = Moves()


@dataclass(frozen=True, slots=True)
class Recall:
    """Pages of one sequence that a step brings back; it computes from the next step on."""

    sequence: Tokens
    pages: list[int]  # its own when planned, see `Row.pages`
    end: int  # tokens in its pages then

    @property
    def is_held(self) -> bool:
        """Whether the sequence has neither ended nor been sent away since."""
        return self.sequence.pages is self.pages
