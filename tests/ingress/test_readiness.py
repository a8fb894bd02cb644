import asyncio

import pytest
from structlog.testing import capture_logs

from serve_app.errors import EngineFailed, NotReady, Overloaded
from serve_app.ingress.readiness import Readiness
from serve_app.pipeline import Gate
from serve_app.settings import ServerSettings
from tests.ingress.house import House

SETTINGS = ServerSettings(ready_interval_s=5, ready_deadline_s=0.001)


class Engine:
    """A probe that can be told how the engine is."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.go_on: asyncio.Event | None = None
        self.probes = 0
        self.now_s = 100.0

    async def probe(self) -> None:
        self.probes += 1
        if self.go_on is not None:
            await self.go_on.wait()
        if self.error is not None:
            raise self.error

    def readiness(self, settings: ServerSettings | None = None) -> Readiness:
        return Readiness(self.probe, Gate(), settings or ServerSettings(), lambda: self.now_s)


async def test_a_success_is_believed_for_the_interval() -> None:
    engine = Engine()
    readiness = engine.readiness()
    await readiness.check()
    engine.now_s += ServerSettings().ready_interval_s - 0.1
    await readiness.check()
    assert engine.probes == 1
    engine.now_s += 0.1
    await readiness.check()
    assert engine.probes == 2


@pytest.mark.parametrize("error", [EngineFailed("x"), Overloaded("x"), RuntimeError("x")])
async def test_a_failure_is_not_ready_and_asked_again_at_once(error: Exception) -> None:
    engine = Engine()
    readiness = engine.readiness()
    engine.error = error
    with pytest.raises(NotReady):
        await readiness.check()
    engine.error = None
    await readiness.check()


async def test_an_engine_that_breaks_turns_red_again() -> None:
    engine = Engine()
    readiness = engine.readiness()
    await readiness.check()
    engine.error = EngineFailed("x")
    engine.now_s += 60
    with pytest.raises(NotReady):
        await readiness.check()


async def test_a_full_engine_that_has_answered_before_stays_green() -> None:
    engine = Engine()
    readiness = engine.readiness()
    await readiness.check()
    engine.error = Overloaded("Full.")
    engine.now_s += 60
    await readiness.check()


async def test_an_engine_that_hangs_is_red_after_the_deadline() -> None:
    engine = Engine()
    engine.go_on = asyncio.Event()
    with pytest.raises(NotReady):
        await engine.readiness(SETTINGS).check()


async def test_those_who_ask_together_share_one_probe() -> None:
    engine = Engine()
    engine.go_on = asyncio.Event()
    readiness = engine.readiness()
    asking = [asyncio.create_task(readiness.check()) for _ in range(5)]
    await asyncio.sleep(0)
    engine.go_on.set()
    await asyncio.gather(*asking)
    assert engine.probes == 1


async def test_one_who_stops_waiting_does_not_stop_the_others() -> None:
    engine = Engine()
    engine.go_on = asyncio.Event()
    readiness = engine.readiness()
    impatient, patient = (asyncio.create_task(readiness.check()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    engine.go_on.set()
    await patient
    assert engine.probes == 1


async def test_ready_is_503_until_a_generation_has_succeeded() -> None:
    engine = Engine()
    engine.error = NotReady("still loading")
    async with House(probe=engine.probe).client as client:
        response = await client.get("/ready")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["code"] == "not_ready"
        engine.error = None
        assert (await client.get("/ready")).json() == {"status": "ready"}


async def test_a_house_that_drains_is_not_ready_however_well_the_engine_was() -> None:
    house = House()
    async with house.client as client:
        assert (await client.get("/ready")).status_code == 200
        await house.doors.gate.drain()
        response = await client.get("/ready")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "draining"


async def test_what_broke_the_probe_is_in_the_log() -> None:
    engine = Engine()
    engine.error = RuntimeError("x")
    with capture_logs() as lines, pytest.raises(NotReady):
        await engine.readiness().check()
    assert [line["exc_info"] for line in lines] == [engine.error]
