"""From the engine's thread to one reader: events travel together when many streams live.

Each event that leaves costs CPU further out. The first goes at once; after it the reader gets
what has gathered, no sooner than a pause that grows with the number of streams. An end never
waits.

A slow reader does not slow the engine: what it has not read gathers here, bounded by nothing but
the answer's max_tokens, and goes as one text or with the reader.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from collections.abc import Sequence as Many
from dataclasses import replace
from itertools import chain, groupby

from serve_app.errors import ServeAppError
from serve_app.messages import Delta, Echo, Event, Finish, Queued, ToolDelta, Usage

_BEFORE_ALL = -1  # where events that belong to no choice stand


class Outbox:
    """One request's events, all on one event loop; `put` and `fail` never block."""

    def __init__(self, pause_s: Callable[[], float], clock: Callable[[], float]) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._gathered: list[Event] = []
        self._leaving: deque[Event] = deque()
        self._error: ServeAppError | None = None
        self.due = clock()  # when the reader gets more, an end excepted; read from any thread
        self._timer: asyncio.TimerHandle | None = None
        self._ready = asyncio.Event()

    def put(self, event: Event) -> None:
        self._gathered.append(event)
        if isinstance(event, Finish):
            self._ready.set()
        elif not self._timer:
            self._wake_when_due()

    def fail(self, error: ServeAppError) -> None:
        """End with an error; what was put before it still goes out."""
        self._error = error
        self._ready.set()

    async def get(self) -> Event:
        """Wait for the next event; raise the error once all before it has been read."""
        if not self._leaving:
            await self._ready.wait()
            self._collect()
        if self._leaving:
            return self._leaving.popleft()
        raise self._error or RuntimeError("The outbox woke its reader without an event.")

    def _wake_when_due(self) -> None:
        left = self.due - self._clock()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._ready.set)
        else:
            self._ready.set()

    def _collect(self) -> None:
        self._leaving.extend(joined(self._gathered))
        self._gathered.clear()
        self.due = self._clock() + self._pause_s()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._error:
            self._ready.clear()


def joined(events: Many[Event]) -> Iterator[Event]:
    """Put together what follows each other in the same part of the same choice.

    All leave with the usage of the last that came: changing places, counts must not go back.
    """
    usage = next((e.usage for e in reversed(events) if not isinstance(e, Queued | Echo)), None)
    by_choice = sorted(events, key=_choice)  # stable: inside a choice nothing changes places
    for _, alike in groupby(by_choice, key=_part):
        yield _join(list(alike), usage)


def _choice(event: Event) -> int:
    return getattr(event, "choice", _BEFORE_ALL)


def _part(event: Event) -> Hashable:
    if isinstance(event, Delta):
        return event.choice, event.channel
    if isinstance(event, ToolDelta):
        return event.choice, event.call
    return id(event)


def _join(alike: list[Event], usage: Usage | None) -> Event:
    first = alike[0]
    if usage is None or isinstance(first, Queued | Echo):
        return first
    if isinstance(first, Finish):
        return first if first.usage is usage else replace(first, usage=usage)
    text = "".join(event.text for event in alike if isinstance(event, Delta | ToolDelta))
    if isinstance(first, ToolDelta):
        return ToolDelta(first.call, text, usage, first.choice, first.id, first.name)
    chances = chain.from_iterable(e.chances for e in alike if isinstance(e, Delta))
    return Delta(text, usage, first.choice, first.channel, tuple(chances))
