"""The texts of an answer, each behind a guard of its own."""

from collections import deque
from dataclasses import replace
from typing import Protocol

from serve_app.messages import (
    Action,
    Chance,
    Channel,
    Delta,
    Event,
    TokenChances,
    ToolDelta,
    Usage,
    Verdict,
)
from serve_app.pipeline.doors import OutputGuard, OutputGuards
from serve_app.pipeline.json_guard import JsonGuard

Passed = tuple[Event, ...]


class Strand(Protocol):
    """Gives of what it is fed what may leave; a verdict of BLOCK ends it."""

    @property
    def verdict(self) -> Verdict: ...

    def feed(self, piece: Delta | ToolDelta) -> Passed: ...

    def close(self, usage: Usage) -> Passed:
        """Give what is held as if the text ended here; it may go on all the same."""
        ...


class TextStrand:
    """One channel of one choice; chances leave when all the text they came with has left."""

    __slots__ = ("_channel", "_choice", "_fed", "_guard", "_guards", "_left", "_waiting")

    def __init__(
        self, guards: OutputGuards, choice: int, channel: Channel, guard: OutputGuard
    ) -> None:
        self._guards = guards
        self._guard = guard
        self._choice = choice
        self._channel = channel
        self._fed = self._left = 0  # characters
        self._waiting: deque[tuple[int, TokenChances]] = deque()  # and where their text ends

    @property
    def verdict(self) -> Verdict:
        return self._guard.verdict

    def feed(self, piece: Delta | ToolDelta) -> Passed:
        text = self._guard.feed(piece.text)
        self._fed += len(piece.text)
        if isinstance(piece, Delta) and piece.chances:
            self._waiting.extend((self._fed, chances) for chances in piece.chances)
        elif text == piece.text and not self._waiting:  # as it is nearly always
            self._left += len(text)
            return (piece,) if text else ()
        return self._pass(text, piece.usage)

    def close(self, usage: Usage) -> Passed:
        return self._pass(self._guard.close(), usage)

    def _pass(self, text: str, usage: Usage) -> Passed:
        self._left += len(text)
        chances = self._ripe() if self._waiting else ()
        if not text and not chances:
            return ()
        return (Delta(text, usage, self._choice, self._channel, chances),)

    def _ripe(self) -> tuple[TokenChances, ...]:
        ripe = []
        while self._waiting and self._waiting[0][0] <= self._left:
            ripe.append(without_banned(self._waiting.popleft()[1], self._guards))
        return tuple(ripe)


class CallStrand:
    """One tool call of one choice: its name, which is whole when it comes, and its arguments."""

    __slots__ = ("_arguments", "_call", "_choice", "_guards", "verdict")

    def __init__(self, guards: OutputGuards, choice: int, call: int) -> None:
        self._guards = guards
        self._arguments = JsonGuard(guards.open())
        self._choice = choice
        self._call = call
        self.verdict = self._arguments.verdict

    def feed(self, piece: Delta | ToolDelta) -> Passed:
        name = piece.name if isinstance(piece, ToolDelta) else None
        if name is not None:
            self.verdict = judge(name, self._guards)
            if self.verdict.action is Action.BLOCK:
                return ()
        text = self._arguments.feed(piece.text)
        self.verdict = self._arguments.verdict
        return (replace(piece, text=text),) if text or name is not None else ()

    def close(self, usage: Usage) -> Passed:
        text = self._arguments.close()
        self.verdict = self._arguments.verdict
        return (ToolDelta(self._call, text, usage, self._choice),) if text else ()


def judge(text: str, guards: OutputGuards) -> Verdict:
    """The verdict on a text that stands by itself."""
    guard = guards.open()
    guard.feed(text)
    guard.close()
    return guard.verdict


def without_banned(chances: TokenChances, guards: OutputGuards) -> TokenChances:
    """Drop the alternatives that are a banned term by themselves; the drawn token has left."""
    if not chances.top:
        return chances
    return replace(chances, top=tuple(each for each in chances.top if _allowed(each, guards)))


def _allowed(chance: Chance, guards: OutputGuards) -> bool:
    text = chance.text.decode("utf-8", "replace")
    return judge(text, guards).action is Action.ALLOW
