"""Steps under way: begun by a runner, read when their tokens are wanted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_app.engine.batch import Batch, Row
from serve_app.engine.drafts import agreed
from serve_app.engine.draws import Draws


class RunnerLost(Exception):
    """No further step can be computed by this runner."""


class Flight(Protocol):
    """A step that was begun."""

    @property
    def landed(self) -> bool:
        """Whether its tokens are here, so that nothing is won by beginning another before."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether `draws` would not wait."""
        ...

    def draws(self) -> Draws:
        """Wait for a token for each row of `batch.drawing`; raise whatever broke the step."""
        ...


class Runner(Protocol):
    """One forward pass and the draw of tokens."""

    def begin(self, batch: Batch) -> Flight:
        """Begin a step behind those already begun; its rows may need tokens that those draw.

        Raises RunnerLost if no step can be begun any more, and anything else if this one cannot.
        """
        ...


@dataclass(frozen=True, slots=True)
class Landed:
    """A step that was computed while it was begun."""

    result: Draws
    landed: bool = True
    is_over: bool = True

    def draws(self) -> Draws:
        return self.result


def checked(rows: Iterable[Row], lines: Sequence[int | None]) -> Draws:
    """Turn the tokens of all lines, of each row's last token and its draft's, into draws."""
    tokens: list[int | None] = []
    more: dict[int, list[int]] = {}
    begin = 0
    for place, row in enumerate(rows):
        drawn = lines[begin : begin + 1 + len(row.draft)]
        begin += len(drawn)
        tokens.append(drawn[0])
        if right := agreed(row.draft, drawn):
            more[place] = right
    return Draws(tokens, more=more)
