"""7. The engines of one model replica: the one that serves, and during a switch those beside it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from serve_app.errors import BadModel, CannotStart, NotReady
from serve_app.messages import (
    ChatRequest,
    EngineStats,
    Event,
    Message,
    ModelCard,
    Request,
    Role,
    Sampling,
)
from serve_app.telemetry import log


class Engine(Protocol):
    """What a model replica asks of an engine."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def check(self) -> None: ...

    def stats(self) -> EngineStats: ...

    def generate(self, request: Request) -> AsyncGenerator[Event]: ...

    async def spell(self, tokens: tuple[int, ...]) -> str: ...

    async def tokens(self, request: Request) -> tuple[int, ...]: ...

    async def pieces(self, tokens: tuple[int, ...]) -> tuple[str, ...]: ...

    async def about_tokens(self) -> Mapping[str, Any]: ...


def ping(model: str) -> ChatRequest:
    """The smallest real request."""
    sampling = Sampling(temperature=0.0, max_tokens=1)
    return ChatRequest("ping", model, (Message(Role.USER, "ping"),), sampling)


@dataclass(eq=False, slots=True)
class _Version:
    card: ModelCard
    engine: Engine
    leases: int = 0


class Versions:
    """Which engine answers for which name; all methods belong to one event loop.

    An answer stays with the engine it began on. A version that is neither current nor prepared
    ends with its last answer: its engine stops, then its memory is given back.
    """

    def __init__(
        self, load: Callable[[ModelCard], Engine], unload: Callable[[ModelCard], None]
    ) -> None:
        """Both run in a thread; `unload` follows once on every `load` that gave an engine."""
        self._load = load
        self._unload = unload
        self._alive: dict[str, _Version] = {}
        self._ended: set[str] = set()
        self._current: _Version | None = None
        self._prepared: _Version | None = None
        self._preparation: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()

    @contextmanager
    def lease(self, model: str | None = None) -> Iterator[Engine]:
        """The engine of that name, or else the current one; it lives as long as the block.

        Who asks for a version that has ended left the ingress before the switch: the current one
        answers. Raises NotReady for a name that this replica has not heard of yet.
        """
        version = self._answering(model)
        version.leases += 1
        try:
            yield version.engine
        finally:
            version.leases -= 1
            self._end_if_over(version)

    def check(self) -> None:
        """Raise EngineFailed if one of them is beyond help: they share a device."""
        for version in self._alive.values():
            version.engine.check()

    async def prepare(self, card: ModelCard) -> None:
        """Load a version beside the current one and let it answer once; raises CannotStart.

        If it fails or is cancelled, everything is as it was.
        """
        if self._preparation is not None:
            raise CannotStart("Another switch is under way; wait until it has ended.")
        self._preparation = asyncio.create_task(self._bring(card))
        try:
            await asyncio.shield(self._preparation)
        except BaseException:
            await self.discard()
            raise

    def commit(self) -> None:
        """Make the prepared version the current one; raises CannotStart if there is none."""
        if self._prepared is None:
            raise CannotStart("No version is prepared.")
        last, self._current = self._current, self._prepared
        self._prepared = self._preparation = None
        log().info("version_serves", model=self._current.card.name)
        if last is not None:
            self._end_if_over(last)

    async def discard(self) -> None:
        """Give back what was prepared; a load under way is waited for: no thread can be ended."""
        preparation = self._preparation
        if preparation is None:
            return
        await asyncio.wait({preparation})
        if preparation is self._preparation:  # nobody else was quicker
            unwanted, self._prepared, self._preparation = self._prepared, None, None
            if unwanted is not None:
                self._end_if_over(unwanted)
        if self._endings:
            await asyncio.wait(self._endings)

    async def become(self, card: ModelCard) -> None:
        """Prepare and commit, as far as that has not been done; raises CannotStart."""
        if self._current is not None and self._current.card == card:
            return
        if self._prepared is None or self._prepared.card != card:
            await self.discard()
            await self.prepare(card)
        self.commit()

    def _answering(self, model: str | None) -> _Version:
        version = self._current
        if model is not None and model not in self._ended:
            version = self._alive.get(model)
        if version is None:
            raise NotReady("This replica does not serve that model yet; try again shortly.")
        return version

    async def _bring(self, card: ModelCard) -> None:
        """A version that is still ending is taken back as it is."""
        version = self._alive.get(card.name)
        if version is None:
            version = await self._loaded(card)
        elif version.card != card:
            raise BadModel(
                f"{card.name} still ends with other files; try again when its last answer is out."
            )
        self._prepared = self._alive[card.name] = version
        self._ended.discard(card.name)

    async def _loaded(self, card: ModelCard) -> _Version:
        engine = await asyncio.to_thread(self._load, card)
        try:
            engine.start()
            async for _ in engine.generate(ping(card.name)):
                pass  # the first answer of an engine is slow
        except BaseException:
            await self._stop(card, engine)
            raise
        return _Version(card, engine)

    def _end_if_over(self, version: _Version) -> None:
        name = version.card.name
        wanted = version is self._current or version is self._prepared
        if wanted or version.leases or self._alive.get(name) is not version:
            return
        del self._alive[name]
        self._ended.add(name)
        ending = asyncio.create_task(self._stop(version.card, version.engine))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def _stop(self, card: ModelCard, engine: Engine) -> None:
        await engine.stop()
        del engine  # or its memory could not be given back
        await asyncio.to_thread(self._unload, card)
        log().info("version_ended", model=card.name)
