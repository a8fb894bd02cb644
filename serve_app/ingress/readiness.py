"""Ready means: a real generation has succeeded, not long ago."""

import asyncio
from collections.abc import Awaitable, Callable

from serve_app.errors import NotReady, Overloaded, ServeAppError
from serve_app.pipeline import Gate
from serve_app.settings import ServerSettings
from serve_app.telemetry import log

_RED = "No generation has succeeded yet; ask again in a moment."

Probe = Callable[[], Awaitable[None]]


class Readiness:
    """Runs the probe at most once at a time, and believes its success for a while.

    A closed gate is never hidden by what is believed.
    """

    def __init__(
        self, probe: Probe, gate: Gate, settings: ServerSettings, clock: Callable[[], float]
    ) -> None:
        self._probe = probe
        self._gate = gate
        self._deadline_s = settings.ready_deadline_s
        self._interval_s = settings.ready_interval_s
        self._clock = clock
        self._believed_until_s = float("-inf")
        self._has_succeeded = False
        self._running: asyncio.Task[bool] | None = None

    async def check(self) -> None:
        """Raises NotReady or Draining; whoever asks while a probe runs shares its result."""
        self._gate.check()
        if self._clock() < self._believed_until_s:
            return
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._succeeds())
        if not await asyncio.shield(self._running):
            raise NotReady(_RED)
        self._has_succeeded = True
        self._believed_until_s = self._clock() + self._interval_s

    async def _succeeds(self) -> bool:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._probe()
        except Overloaded:
            return self._has_succeeded  # busy is not broken: red would push more onto the others
        except (ServeAppError, TimeoutError) as error:
            log().warning("not_ready", error=type(error).__name__)
            return False
        except Exception as error:  # noqa: BLE001  whatever breaks the probe is no readiness
            log().error("not_ready", exc_info=error)
            return False
        return True
