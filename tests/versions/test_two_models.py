"""Both models in the box, one after the other in one process."""

import asyncio
import gc
import json
import shutil
import weakref
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serve_app.engine import assembly
from serve_app.errors import BadModel
from serve_app.messages import Delta, Finish, Message, ModelCard, Role, Sampling
from serve_app.models import catalogue
from serve_app.models.load import load
from serve_app.models.nano.evaluate import WEIGHTS
from serve_app.settings import EngineSettings, ModelSettings, Settings
from serve_app.versions import Engine, Versions, ping

GOLDEN = Path(__file__).parents[1] / "models" / "golden"
COUNT = "Count from 1 to 20."


def golden(model: str) -> str:
    """What that model says to COUNT."""
    told = json.loads((GOLDEN / f"{model}.json").read_text())
    return next(each["answer"] for each in told if each["messages"][-1]["content"] == COUNT)


class Shop:
    """A folder of models, and every engine that was loaded from it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            model=ModelSettings(folder=folder, device="cpu"),
            engine=EngineSettings(kv_tokens=2048, yields_per_s=10**9),
        )
        self.parts: list[weakref.ref[Any]] = []
        self.unloads: list[str] = []
        self.versions = Versions(self.load, lambda card: self.unloads.append(card.name))

    def card(self, name: str) -> ModelCard:
        return catalogue.find(self.settings.of_model(name).model).card

    def load(self, card: ModelCard) -> Engine:
        loaded = load(self.settings.of_model(card.name))
        engine: Any = assembly.assemble(
            model=loaded.model,
            tokenizer=loaded.tokenizer,
            settings=self.settings.engine,
            context_tokens=loaded.context_tokens,
            eos_ids=loaded.defaults.eos_ids,
            defaults=Sampling(0.0),
        )
        runner = engine._loop._runner
        self.parts += map(weakref.ref, (engine, runner, runner._model, runner._cache))
        self.parts += [weakref.ref(each.untyped_storage()) for each in runner._model.parameters()]
        return engine

    def left(self) -> int:
        gc.collect()
        return sum(part() is not None for part in self.parts)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    for name in ("glm-nano", "glm-nano-b"):
        shutil.copytree(WEIGHTS / name, tmp_path / name)
    shop = Shop(tmp_path)
    yield shop
    with shop.versions.lease() as engine:
        await engine.stop()


async def answer(versions: Versions, model: str | None, begun: asyncio.Event | None = None) -> str:
    request = replace(
        ping("any"),
        request_id="r",
        messages=(Message(Role.USER, COUNT),),
        sampling=Sampling(temperature=0.0),
    )
    with versions.lease(model) as engine:
        return await _text(engine.generate(request), begun)


async def _text(stream: AsyncGenerator[Any], begun: asyncio.Event | None) -> str:
    said, ended = "", False
    async with aclosing(stream) as events:
        async for event in events:
            if isinstance(event, Delta):
                said += event.text
            ended = isinstance(event, Finish)
            if begun:
                begun.set()
    assert ended
    return said


async def test_a_switch_leaves_streams_where_they_are_and_frees_the_first_model(
    shop: Shop,
) -> None:
    begun = asyncio.Event()
    await shop.versions.become(shop.card("glm-nano"))
    stream = asyncio.create_task(answer(shop.versions, None, begun))
    await begun.wait()
    first = len(shop.parts)

    await shop.versions.become(shop.card("glm-nano-b"))

    assert await answer(shop.versions, None) == golden("glm-nano-b")
    assert await stream == golden("glm-nano")
    while not shop.unloads:  # noqa: ASYNC110 - its own thread ends it
        await asyncio.sleep(0)
    del stream
    assert shop.unloads == ["glm-nano"]
    assert shop.left() == len(shop.parts) - first


async def test_an_altered_model_leaves_the_first_alone(shop: Shop) -> None:
    await shop.versions.become(shop.card("glm-nano"))
    held = shop.left()
    folder = shop.settings.model.folder
    assert folder is not None
    weights = folder / "glm-nano-b" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")

    with pytest.raises(BadModel, match="altered"):
        await shop.versions.become(shop.card("glm-nano-b"))

    assert shop.left() == held
    assert await answer(shop.versions, None) == golden("glm-nano")


async def test_a_model_that_does_not_fit_beside_the_first_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.versions.become(shop.card("glm-nano"))
    monkeypatch.setattr("serve_app.models.device.free_on_host", lambda: 2**20)

    with pytest.raises(BadModel, match="free"):
        await shop.versions.become(shop.card("glm-nano-b"))

    assert await answer(shop.versions, None) == golden("glm-nano")
