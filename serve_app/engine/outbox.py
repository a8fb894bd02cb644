"""From the engine's thread to one reader: events travel together when many streams live.

Each event that leaves costs CPU further out. The first goes at once; after it the reader gets
what has gathered, no sooner than a pause that grows with the number of streams. The end never
waits.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

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
        self._filled = asyncio.Event()
        self._ended = asyncio.Event()

    def put(self, delta: Delta) -> None:
        self._texts.append(delta.text)
        self._usage = delta.usage
        self._filled.set()

    def close(self, end: End) -> None:
        """Nothing may be put after it."""
        self._end = end
        self._filled.set()
        self._ended.set()

    async def get(self) -> Event:
        """Wait for the next event; raise the error if the answer ended with one."""
        await self._filled.wait()
        await self._pause()
        return self._text() if self._texts else self._last()

    async def _pause(self) -> None:
        """Let texts gather until the next yield is due or the end has come."""
        left = self._due - self._clock()
        if left <= 0 or self._ended.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._ended.wait()

    def _text(self) -> Delta:
        delta = Delta("".join(self._texts), self._usage)
        self._texts.clear()
        if self._end is None:
            self._filled.clear()
        self._due = self._clock() + self._pause_s()
        return delta

    def _last(self) -> Finish:
        if not isinstance(self._end, Finish):
            raise self._end or RuntimeError("The outbox woke its reader without an event.")
        return self._end
