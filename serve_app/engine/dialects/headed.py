"""Calls in GLM-4's way: a turn whose first line is a tool's name, and JSON arguments below.

The arguments go out as the model writes them, up to the bracket that closes them. If the turn
ends before that, the call ends with it; if max_tokens cuts it, it stays unfinished.
"""

from collections.abc import Iterator

from serve_app.engine.dialects.calling import Offer, Progress, opened, the_only
from serve_app.engine.dialects.marks import TURNS, shown
from serve_app.engine.dialects.pieces import Arguments, Piece
from serve_app.engine.dialects.tape import Tape

_GAP = 16  # blanks at most between a name and its arguments


class HeadedCalls:
    """Told from other text by a known name, a line feed and an opening bracket."""

    marked = False

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def opens(self, text: str) -> bool | None:
        return heads(text, self._offer, ("{",))

    def begin(self, number: int) -> "JsonCall":
        return JsonCall(number)

    def unfinished(self, text: str) -> str | None:
        name, end, _ = text.partition("\n")
        if self.opens(text) is not None:
            return None
        return name if end else the_only(each for each in self._offer if each.startswith(name))


def heads(text: str, offer: Offer, beginnings: tuple[str, ...]) -> bool | None:
    """Whether a tool's name and one of `beginnings` below it open the text; None: too early."""
    line, end, below = text.partition("\n")
    if not end:
        return None if any(name.startswith(line) for name in offer) else False
    body = below.lstrip()
    if line not in offer or len(below) - len(body) > _GAP:
        return False
    if body.startswith(beginnings):
        return True
    return None if any(beginning.startswith(body) for beginning in beginnings) else False


class JsonCall:
    """Reads a call that is known to be one."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._opened = False
        self._value = JsonValue()

    def read(
        self,
        tape: Tape,
        *,
        over: bool,  # noqa: ARG002 - all that came has gone out already
    ) -> Iterator[Piece | Progress]:
        if not self._opened:
            self._opened = True
            yield opened(self._number, tape.drop(tape.text.index("\n")).strip())
            tape.drop(tape.text.index("{"))
        turn = TURNS.find(tape.text)
        end = self._value.end(tape.text[: turn.at] if turn else tape.text)
        text, places = tape.take(end)
        if text:
            yield Arguments(self._number, shown(text), places)
        yield Progress.DONE if turn or self._value.closed else Progress.WAITS


class JsonValue:
    """Follows strings and brackets to where an object closes, right or wrong in between."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.closed = False

    def end(self, text: str) -> int:
        """How much of the text belongs to the value."""
        for at, letter in enumerate(text):
            self._follow(letter)
            if self.closed:
                return at + 1
        return len(text)

    def _follow(self, letter: str) -> None:
        if self._escaped:
            self._escaped = False
        elif self._quoted:
            self._escaped = letter == "\\"
            self._quoted = letter != '"'
        elif letter == '"':
            self._quoted = True
        elif letter in "{[":
            self._depth += 1
        elif letter in "}]":
            self._depth -= 1
            self.closed = not self._depth
