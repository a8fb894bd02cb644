"""Engines side by side: an answer stays where it began, a failure leaves no trace."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from serve_app.errors import BadModel, CannotStart, EngineFailed, NotReady
from serve_app.messages import (
    Delta,
    EngineStats,
    Event,
    Finish,
    FinishReason,
    ModelCard,
    Request,
    Usage,
)
from serve_app.versions import Versions, ping


def card(name: str, digest: str = "0") -> ModelCard:
    return ModelCard(name, digest * 64, context_tokens=64, created=0)


OLD, NEW = card("old"), card("new")


class FakeEngine:
    """Says its name; after the first word it waits until it may go on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.may_end = asyncio.Event()
        self.stops = 0
        self.fault: Exception | None = None

    def start(self) -> None: ...

    async def stop(self) -> None:
        self.stops += 1

    def check(self) -> None:
        if self.fault:
            raise self.fault

    def stats(self) -> EngineStats:
        return EngineStats()

    async def generate(self, request: Request) -> AsyncGenerator[Event]:
        if self.fault:
            raise self.fault
        if request.request_id != "ping":
            yield Delta(f"{self.name} begins", Usage(1, 1))
            await self.may_end.wait()
        yield Finish(FinishReason.STOP, Usage(1, 1))

    async def spell(self, _: tuple[int, ...]) -> str:
        return self.name

    async def tokens(self, _: Request) -> tuple[int, ...]:
        return ()

    async def pieces(self, _: tuple[int, ...]) -> tuple[str, ...]:
        return (self.name,)

    async def about_tokens(self) -> Mapping[str, Any]:
        return {"name": self.name}


class Stage:
    """Versions of fake engines, and what became of them."""

    def __init__(self) -> None:
        self.engines: dict[str, FakeEngine] = {}
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.fault: Exception | None = None
        self.faults_of_answers: Exception | None = None
        self.door = threading.Event()  # a load waits before it
        self.door.set()
        self.versions = Versions(self.load, self.unload)

    def load(self, wanted: ModelCard) -> FakeEngine:
        self.loads.append(wanted.name)
        assert self.door.wait(30)
        if self.fault:
            raise self.fault
        engine = FakeEngine(wanted.name)
        engine.fault = self.faults_of_answers
        self.engines[wanted.name] = engine
        return engine

    def unload(self, unwanted: ModelCard) -> None:
        self.unloads.append(unwanted.name)

    async def spoken(self, model: str | None = None) -> str:
        """Who answers now."""
        with self.versions.lease(model) as engine:
            return await engine.spell(())


class Listener:
    """A stream that has begun, on whichever engine answers for `model`."""

    def __init__(self, versions: Versions, model: str) -> None:
        self.seen: list[Event] = []
        self._begun = asyncio.Event()
        self._task = asyncio.create_task(self._listen(versions, model))

    async def _listen(self, versions: Versions, model: str) -> None:
        with versions.lease(model) as engine:
            async with aclosing(engine.generate(question(model))) as events:
                async for event in events:
                    self.seen.append(event)
                    self._begun.set()

    async def begun(self) -> "Listener":
        await self._begun.wait()
        return self

    async def ended(self) -> list[Event]:
        await self._task
        return self.seen

    async def gone(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


def question(model: str) -> Request:
    return replace(ping(model), request_id="r")


async def settled() -> None:
    """Until every task but the test's own has ended."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.versions.become(OLD)
    return stage


async def test_a_prepared_version_answers_to_its_name_alone_until_it_is_committed(
    stage: Stage,
) -> None:
    await stage.versions.prepare(NEW)
    assert [await stage.spoken(name) for name in (None, "old", "new")] == ["old", "old", "new"]

    stage.versions.commit()
    assert await stage.spoken() == "new"


async def test_a_stream_under_way_ends_whole_on_the_engine_it_began_on(stage: Stage) -> None:
    listener = await Listener(stage.versions, "old").begun()
    await stage.versions.become(NEW)
    assert await stage.spoken() == "new"
    assert not stage.engines["old"].stops

    stage.engines["old"].may_end.set()
    first, last = await listener.ended()
    await settled()

    assert isinstance(first, Delta)
    assert first.text == "old begins"
    assert isinstance(last, Finish)
    assert stage.engines["old"].stops == 1
    assert stage.unloads == ["old"]


async def test_an_engine_nobody_listens_to_ends_at_the_commit(stage: Stage) -> None:
    await stage.versions.become(NEW)
    await settled()

    assert stage.engines["old"].stops == 1
    assert stage.unloads == ["old"]
    assert await stage.spoken("old") == "new"  # it left the ingress before the switch


async def test_the_last_listener_that_leaves_early_ends_an_old_engine_too(stage: Stage) -> None:
    listener = await Listener(stage.versions, "old").begun()
    await stage.versions.become(NEW)
    await listener.gone()
    await settled()

    assert stage.unloads == ["old"]


async def test_a_model_that_cannot_be_loaded_changes_nothing(stage: Stage) -> None:
    stage.fault = BadModel("There is no such model.")
    with pytest.raises(BadModel, match="no such model"):
        await stage.versions.prepare(NEW)

    assert await stage.spoken() == "old"
    assert not stage.unloads
    with pytest.raises(NotReady):
        await stage.spoken("new")


async def test_a_model_that_cannot_answer_is_unloaded_again(stage: Stage) -> None:
    stage.faults_of_answers = EngineFailed("The engine failed.")
    with pytest.raises(EngineFailed):
        await stage.versions.prepare(NEW)

    assert stage.engines["new"].stops == 1
    assert stage.unloads == ["new"]
    assert await stage.spoken() == "old"


async def test_after_a_failure_the_next_switch_succeeds(stage: Stage) -> None:
    stage.fault = BadModel("It was altered.")
    with pytest.raises(BadModel):
        await stage.versions.become(NEW)
    stage.fault = None
    await stage.versions.become(NEW)

    assert await stage.spoken() == "new"


async def test_a_second_switch_is_refused_while_the_first_goes_on(stage: Stage) -> None:
    stage.door.clear()
    first = asyncio.create_task(stage.versions.prepare(NEW))
    await asyncio.sleep(0)
    with pytest.raises(CannotStart, match="Another switch is under way"):
        await stage.versions.prepare(card("third"))

    stage.door.set()
    await first
    stage.versions.commit()
    assert await stage.spoken() == "new"


async def test_what_is_discarded_while_it_loads_is_unloaded_once(stage: Stage) -> None:
    stage.door.clear()
    switch = asyncio.create_task(stage.versions.prepare(NEW))
    await asyncio.sleep(0)
    discards = [asyncio.create_task(stage.versions.discard()) for _ in range(2)]
    stage.door.set()
    await asyncio.gather(*discards, switch)

    assert stage.unloads == ["new"]
    assert stage.engines["new"].stops == 1
    with pytest.raises(CannotStart, match="No version is prepared"):
        stage.versions.commit()


async def test_a_switch_that_is_cancelled_gives_back_what_it_loaded(stage: Stage) -> None:
    stage.door.clear()
    switch = asyncio.create_task(stage.versions.prepare(NEW))
    await asyncio.sleep(0)
    switch.cancel()
    await asyncio.sleep(0)
    stage.door.set()
    await asyncio.wait({switch})

    assert switch.cancelled()
    assert stage.unloads == ["new"]
    assert await stage.spoken() == "old"


async def test_to_discard_nothing_is_no_error(stage: Stage) -> None:
    await stage.versions.discard()
    assert await stage.spoken() == "old"


async def test_the_way_back_takes_an_engine_that_still_ends_as_it_is(stage: Stage) -> None:
    listener = await Listener(stage.versions, "old").begun()
    await stage.versions.become(NEW)
    await stage.versions.become(OLD)
    stage.engines["old"].may_end.set()
    await listener.ended()
    await settled()

    assert stage.loads == ["old", "new"]
    assert stage.unloads == ["new"]
    assert await stage.spoken("new") == "old"


async def test_other_files_under_a_name_that_still_ends_are_refused(stage: Stage) -> None:
    listener = await Listener(stage.versions, "old").begun()
    await stage.versions.become(NEW)
    with pytest.raises(BadModel, match="other files"):
        await stage.versions.prepare(card("old", digest="1"))
    await listener.gone()

    assert await stage.spoken() == "new"


async def test_to_become_what_it_is_costs_nothing(stage: Stage) -> None:
    await stage.versions.become(OLD)
    assert stage.loads == ["old"]


async def test_one_engine_beyond_help_makes_the_replica_unhealthy(stage: Stage) -> None:
    stage.versions.check()
    await stage.versions.prepare(NEW)
    stage.engines["new"].fault = EngineFailed("It is stuck.")
    with pytest.raises(EngineFailed):
        stage.versions.check()


async def test_nothing_keeps_an_engine_that_has_ended(stage: Stage) -> None:
    listener = await Listener(stage.versions, "old").begun()
    engine = stage.engines.pop("old")
    await stage.versions.become(NEW)
    engine.may_end.set()
    await listener.ended()
    await settled()
    left = weakref.ref(engine)
    del engine, listener
    gc.collect()

    assert left() is None
