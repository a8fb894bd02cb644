"""From the engine's thread to one reader: events travel together when many streams live.

Each event that leaves costs CPU further out. The first goes at once; after it the reader gets
what has gathered, no sooner than a pause that grows with the number of streams. The end never
waits.

A slow reader does not slow the engine: what it has not read gathers here, bounded by nothing but
the answer's max_tokens, and goes as one text or with the reader.
"""

import asyncio
from collections.abc import Callable

from serve_app.errors import ServeAppError
from serve_app.messages import Delta, Event, Finish, Usage

End = Finish | ServeAppError


class Outbox:
    """One request's events, all on one event loop; `put` and `close` never block."""

    def __init__(self, pause_s: Callable[[], float], clock: Callable[[], float]) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._texts: list[str] = []
        self._usage = Usage(0, 0)
        self._end: End | None = None
        self._due = clock()
        self._timer: asyncio.TimerHandle | None = None
        self._ready = asyncio.Event()

    def put(self, delta: Delta) -> None:
        self._texts.append(delta.text)
        self._usage = delta.usage
        if not self._timer:
            self._wake_when_due()

    def close(self, end: End) -> None:
        """Nothing may be put after it."""
        self._end = end
        self._ready.set()

    async def get(self) -> Event:
        """Wait for the next event; raise the error if the answer ended with one."""
        await self._ready.wait()
        return self._text() if self._texts else self._last()

    def _wake_when_due(self) -> None:
        left = self._due - self._clock()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._ready.set)
        else:
            self._ready.set()

    def _text(self) -> Delta:
        delta = Delta("".join(self._texts), self._usage)
        self._texts.clear()
        self._due = self._clock() + self._pause_s()
        self._forget_timer()
        if self._end is None:
            self._ready.clear()
        return delta

    def _forget_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _last(self) -> Finish:
        if not isinstance(self._end, Finish):
            raise self._end or RuntimeError("The outbox woke its reader without an event.")
        return self._end
