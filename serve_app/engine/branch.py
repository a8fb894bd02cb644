"""One of an answer's n choices: what its sequence draws, and what of that is shown."""

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.engine.dialects import Piece, Text
from serve_app.engine.sequence import Sequence, Status
from serve_app.messages import Channel, Times, TokenChances


class Transcript(Protocol):
    """What one choice has said so far; what may not be shown yet is held back."""

    @property
    def stopped(self) -> bool: ...

    @property
    def stopped_by(self) -> str | None: ...

    @property
    def may_stop(self) -> bool:
        """Whether what it says can end the answer."""
        ...

    @property
    def calls(self) -> int: ...

    def add_all(self, tokens: Many[int]) -> list[Piece]: ...

    def end(self, token: int) -> list[Piece]:
        """Take the token that ends it, which is shown only where that is wished."""
        ...

    def close(self) -> list[Piece]: ...


@dataclass(eq=False, slots=True)
class Branch:
    """One of an answer's n choices: a sequence draws it, a transcript shows it."""

    number: int
    sequence: Sequence
    transcript: Transcript
    stop_ids: frozenset[int] = frozenset()  # those of `end_ids` that only the caller named
    unshown: dict[int, TokenChances] = field(default_factory=dict)  # by place in the choice
    read: int = field(init=False)  # tokens of the sequence that the transcript has
    patient: bool = field(init=False)  # whether its tokens need not be read one by one
    ended: bool = False
    began: float | None = None  # on the engine's clock: left the line
    spoke: float | None = None  # likewise: drew its first token

    def __post_init__(self) -> None:
        self.read = self.sequence.prompt_tokens
        self.patient = not (self.transcript.may_stop or self.sequence.by_host)

    def take(self) -> list[Piece]:
        """Show what the tokens say that were drawn since it was asked last."""
        tokens, self.read = self.sequence.tokens[self.read :], len(self.sequence.tokens)
        if self.sequence.status is not Status.STOPPED:
            return self.transcript.add_all(tokens)
        return self.transcript.add_all(tokens[:-1]) + self.transcript.end(tokens[-1])

    def chances_of(self, piece: Text) -> tuple[TokenChances, ...]:
        """Those of its tokens; with content go tokens before it that showed nothing."""
        last = max(piece.places, default=-1)
        before = (place for place in sorted(self.unshown) if place <= last)
        places = piece.places if piece.channel is Channel.REASONING else list(before)
        return tuple(self.unshown.pop(place) for place in places if place in self.unshown)

    def rest(self) -> tuple[TokenChances, ...]:
        """What is left at the end: end tokens, marks, half a character; not a stop string's."""
        if self.transcript.stopped:
            return ()
        return tuple(self.unshown.pop(place) for place in sorted(self.unshown))

    @property
    def stopped_by(self) -> str | int | None:
        """What of the caller's ended it; None: an end of the model's own, or something else."""
        last = self.sequence.tokens[-1]
        named = self.sequence.status is Status.STOPPED and last in self.stop_ids
        return last if named else self.transcript.stopped_by

    def times(self, queued: float, now: float) -> Times | None:
        """None: the choice ended before it drew."""
        if self.began is None or self.spoke is None:
            return None
        sequence = self.sequence
        return Times(
            self.began - queued,
            self.spoke - self.began,
            now - self.spoke,
            sequence.lane,
            f"{sequence.weight:g}",
        )
