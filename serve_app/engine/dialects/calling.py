"""What every way of calling tools has in common."""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Protocol

from serve_app.engine.dialects.pieces import CallOpened, Piece
from serve_app.engine.dialects.tape import Tape
from serve_app.messages import Tool

Offer = Mapping[str, Tool]  # the tools that an answer may call, by name


class Progress(Enum):
    """How far a call has been read."""

    WAITS = auto()  # for more text
    DONE = auto()
    REFUSED = auto()  # it was no call; what was read of it has been given back as text


class Call(Protocol):
    """Reads one call from its first character to its last."""

    def read(self, tape: Tape, *, over: bool) -> Iterator[Piece | Progress]:
        """Yield pieces and, at last, how far it came; `over`: nothing will follow."""
        ...


class Calls(Protocol):
    """One way of calling tools."""

    marked: bool  # a mark opens a call, anywhere; otherwise a turn's first line does

    def opens(self, text: str) -> bool | None:
        """Whether a turn that begins so is a call; None: more text will tell."""
        ...

    def begin(self, number: int) -> Call: ...

    def unfinished(self, text: str) -> str | None:
        """The tool of a call that ends within its name; empty: one of several.

        None: the text is no such call.
        """
        ...


def the_only(names: Iterable[str]) -> str | None:
    """None: there is none; empty: there are several."""
    found = list(names)
    return (found[0] if len(found) == 1 else "") if found else None


def opened(number: int, name: str) -> CallOpened:
    """A call with an id that no other call has."""
    return CallOpened(number, f"call_{secrets.token_hex(12)}", name)
