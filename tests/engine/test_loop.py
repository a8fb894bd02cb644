"""In which order steps are begun and read."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
import torch

from serve_app.engine.batch import Batch
from serve_app.engine.draws import Draws
from serve_app.engine.engine import Engine
from serve_app.engine.flight import Flight, Runner
from serve_app.engine.model import ModelRunner
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.engine.watch import Watch
from serve_app.errors import EngineFailed
from serve_app.messages import Delta, Event
from tests.engine.parts import CONTEXT, Late, ask, build, grammars_of, settings


class Told:
    """Notes when a step is begun and when it is read."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._begun = 0
        self.notes: list[str] = []

    def begin(self, batch: Batch) -> Flight:
        self._begun += 1
        self.notes.append(f"begin {self._begun}")
        return Heard(self._runner.begin(batch), self._begun, self.notes)


class Heard:
    """A step that notes when it is read."""

    def __init__(self, flight: Flight, number: int, notes: list[str]) -> None:
        self._flight = flight
        self._number = number
        self._notes = notes
        self.landed = flight.landed
        self.is_over = flight.is_over

    def draws(self) -> Draws:
        self._notes.append(f"read {self._number}")
        return self._flight.draws()


class Lost:
    """A runner of which one step is begun and never comes back."""

    def __init__(self, runner: Runner, number: int) -> None:
        self._runner = runner
        self._number = number
        self._begun = 0

    def begin(self, batch: Batch) -> Flight:
        self._begun += 1
        return Nowhere() if self._begun == self._number else self._runner.begin(batch)


class Nowhere:
    """A step that broke while it was computed."""

    landed = False
    is_over = True

    def draws(self) -> Draws:
        raise RuntimeError("no such step")


@pytest.fixture(scope="module")
def model() -> Any:
    return build("glm", torch.float32)


async def answers(
    runner: Runner, tokenizer: ChatTokenizer, *requests: Any, **fields: Any
) -> list[list[Event] | BaseException]:
    chosen = settings(**fields)
    engine = Engine(
        runner=runner,
        tokenizer=tokenizer,
        grammars=grammars_of(tokenizer, chosen),
        settings=chosen,
        context_tokens=CONTEXT,
        eos_ids=(),
    )

    async def read(request: Any) -> list[Event]:
        async with aclosing(engine.generate(request)) as events:
            return [event async for event in events]

    engine.start()
    try:
        return await asyncio.gather(*map(read, requests), return_exceptions=True)
    finally:
        await engine.stop()


async def test_a_step_is_begun_before_the_last_one_is_read(
    model: Any, chat_tokenizer: ChatTokenizer
) -> None:
    told = Told(Late(ModelRunner(model, settings())))
    await answers(told, chat_tokenizer, ask(max_tokens=4))
    assert told.notes == [
        *("begin 1", "begin 2", "read 1", "begin 3", "read 2", "begin 4", "read 3", "read 4"),
    ]


async def test_a_step_is_read_at_once_where_the_next_token_depends_on_it(
    model: Any, chat_tokenizer: ChatTokenizer
) -> None:
    told = Told(Late(ModelRunner(model, settings())))
    await answers(told, chat_tokenizer, ask(max_tokens=3, logprobs=0))
    assert told.notes == ["begin 1", "read 1", "begin 2", "read 2", "begin 3", "read 3"]


async def test_nothing_is_begun_behind_another_step_while_there_are_documents(
    model: Any, chat_tokenizer: ChatTokenizer
) -> None:
    """Whoever comes during a chat's step is then in the next one, before the document."""
    told = Told(Late(ModelRunner(model, settings())))
    asked = ask("x" * 40, max_tokens=1), ask(max_tokens=1)
    await answers(told, chat_tokenizer, *asked, long_prompt_tokens=12, step_tokens=12)
    steps = len(told.notes) // 2
    assert steps > 3
    assert told.notes == [f"{what} {1 + n}" for n in range(steps) for what in ("begin", "read")]


async def test_who_is_alone_in_a_step_that_broke_fails(
    model: Any, chat_tokenizer: ChatTokenizer
) -> None:
    runner = Lost(Late(ModelRunner(model, settings())), 2)
    [alone] = await answers(runner, chat_tokenizer, ask())
    assert isinstance(alone, EngineFailed)


async def test_what_stands_on_a_step_that_broke_is_computed_again(
    model: Any, chat_tokenizer: ChatTokenizer
) -> None:
    """The halves succeed, and no token is missing."""
    runner = ModelRunner(model, settings())
    several = ask(n=3, seed=7, temperature=1.0, max_tokens=12)
    [sound] = await answers(runner, chat_tokenizer, several)
    [found] = await answers(Lost(Late(runner), 6), chat_tokenizer, several)
    assert not isinstance(sound, BaseException)
    assert not isinstance(found, BaseException)
    assert [said(sound, choice) for choice in range(3)] == [said(found, c) for c in range(3)]


def said(events: list[Event], choice: int) -> str:
    deltas = [event for event in events if isinstance(event, Delta)]
    return "".join(event.text for event in deltas if event.choice == choice)


def test_a_steps_time_begins_where_the_one_before_ends() -> None:
    now = [0.0]
    watch = Watch(5.0, lambda: now[0])
    watch.begin()
    now[0] = 2.0
    watch.begin()
    now[0] = 3.0
    watch.end()
    assert (watch.last_s, watch.running_s) == (3.0, 0.0)
    now[0] = 9.0
    assert watch.is_late
    watch.end()
    assert (watch.last_s, watch.running_s) == (6.0, 0.0)
