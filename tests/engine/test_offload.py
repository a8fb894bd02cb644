"""Long documents at the engine's door: kept, put away, brought back, computed again if need be."""

from typing import Any

import pytest
import torch

from serve_app.engine.engine import Engine
from serve_app.engine.model import ModelRunner
from serve_app.engine.moves import Moves
from serve_app.messages import ChatRequest, Finish, Usage
from tests.engine.parts import Start, ask, build, read, settings, text_of

ROOM = {"page_tokens": 4, "kv_tokens": 400, "step_tokens": 64, "long_prompt_tokens": 100}


@pytest.fixture(scope="module")
def model() -> Any:
    return build("glm", torch.float32)


def about(document: str, question: str) -> ChatRequest:
    return ask(document * 300 + question, max_tokens=5)


async def answered(engine: Engine, request: ChatRequest) -> tuple[str, Usage]:
    events = await read(engine, request)
    assert isinstance(events[-1], Finish)
    return text_of(events), events[-1].usage


async def test_a_second_question_about_a_document_costs_its_own_tokens(
    model: Any, start: Start
) -> None:
    chosen = settings(**ROOM)
    async with start(ModelRunner(model, chosen), chosen) as engine:
        _, first = await answered(engine, about("x", "why"))
        _, second = await answered(engine, about("x", "how"))
    own = second.prompt_tokens - second.cached_tokens
    assert (first.cached_tokens, own < 4 * 4) == (0, True)


async def test_it_still_does_after_the_document_had_to_go_to_the_host(
    model: Any, start: Start
) -> None:
    async def ask_around(host_kv_tokens: int) -> list[tuple[str, Usage]]:
        chosen = settings(**ROOM, host_kv_tokens=host_kv_tokens)
        async with start(ModelRunner(model, chosen), chosen) as engine:
            asked = [about("x", "why"), about("y", "why"), about("x", "how")]
            return [await answered(engine, request) for request in asked]

    without, having = await ask_around(0), await ask_around(800)
    assert [text for text, _ in having] == [text for text, _ in without]
    assert without[2][1].cached_tokens < 100 < having[2][1].cached_tokens
    assert having[2][1].prompt_tokens - having[2][1].cached_tokens < 4 * 4


class Broken:
    """Host memory out of which nothing comes back."""

    def __init__(self, runner: ModelRunner) -> None:
        self.asked = 0
        self._move = runner._offload.move

    def move(self, moves: Moves) -> None:
        if moves.loads:
            self.asked += 1
            raise RuntimeError("no such memory")
        self._move(moves)


async def test_what_cannot_be_brought_back_is_computed_again(model: Any, start: Start) -> None:
    chosen = settings(**ROOM, host_kv_tokens=800)
    asked = [about("x", "why"), about("y", "why"), about("x", "how")]
    async with start(ModelRunner(model, chosen), chosen) as engine:
        sound = [await answered(engine, request) for request in asked]
    runner: Any = ModelRunner(model, chosen)
    broken = runner._offload = Broken(runner)
    async with start(runner, chosen) as engine:
        answers = [await answered(engine, request) for request in asked]
        stats = engine.stats()
    assert [text for text, _ in answers] == [text for text, _ in sound]
    assert broken.asked > 0
    assert answers[2][1].cached_tokens < sound[2][1].cached_tokens
    assert (stats.running, stats.free_pages) == (0, stats.total_pages)
