"""Watches the engine's steps: how long the last one took, and whether this one will ever end."""

from collections.abc import Callable


class Watch:
    """Told of each step by the engine's thread, looked at from any.

    Steps that are under way together are computed one after the other: the time of one begins
    where that of the one before ends.
    """

    def __init__(self, deadline_s: float, clock: Callable[[], float]) -> None:
        self._deadline_s = deadline_s
        self._clock = clock
        self._under_way = 0
        self._since: float | None = None
        self.last_s = 0.0

    def begin(self) -> None:
        if self._since is None:
            self._since = self._clock()
        self._under_way += 1

    def end(self) -> None:
        """The oldest step has ended, however it did."""
        now = self._clock()
        self.last_s = 0.0 if self._since is None else now - self._since
        self._under_way -= 1
        self._since = now if self._under_way else None

    @property
    def running_s(self) -> float:
        """Seconds that the oldest step under way has taken; 0 between steps."""
        since = self._since
        return 0.0 if since is None else self._clock() - since

    @property
    def is_late(self) -> bool:
        return self.running_s > self._deadline_s
