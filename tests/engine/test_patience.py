"""What is drawn while a reader is not due to hear more: told later, together, and never lost."""

import asyncio
from typing import Any

import pytest
import torch

from serve_app.engine.engine import Engine
from serve_app.engine.model import ModelRunner
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.errors import EngineFailed
from serve_app.messages import Delta, Event, Finish
from tests.engine.parts import CONTEXT, ask, build, grammars_of, settings

TOKENS = 24


class Mortal:
    """A runner that fails whatever holds more tokens than it can bear."""

    def __init__(self, runner: Any, most: int) -> None:
        self._runner = runner
        self._most = most

    def begin(self, batch: Any) -> Any:
        if any(row.start > self._most for row in batch.rows):
            raise RuntimeError("too long")
        return self._runner.begin(batch)


@pytest.fixture(scope="module")
def model() -> Any:
    return build("glm", torch.float32)


async def read(
    model: Any, tokenizer: ChatTokenizer, *, yields_per_s: int, most: int = CONTEXT, **wishes: Any
) -> list[Event | EngineFailed]:
    chosen = settings(yields_per_s=yields_per_s)
    engine = Engine(
        runner=Mortal(ModelRunner(model, chosen), most),
        tokenizer=tokenizer,
        grammars=grammars_of(tokenizer, chosen),
        settings=chosen,
        context_tokens=CONTEXT,
        eos_ids=(),
    )
    engine.start()
    events: list[Event | EngineFailed] = []
    try:
        async for event in engine.generate(ask(max_tokens=TOKENS, temperature=0.0, **wishes)):
            events.append(event)  # noqa: PERF401 - what came before an error counts
    except EngineFailed as error:
        events.append(error)
    finally:
        await engine.stop()
        await asyncio.sleep(0)
    return events


def deltas(events: list[Event | EngineFailed]) -> list[Delta]:
    return [event for event in events if isinstance(event, Delta)]


def text(events: list[Event | EngineFailed]) -> str:
    return "".join(event.text for event in deltas(events))


@pytest.mark.parametrize("wishes", [{}, {"logprobs": 0}, {"stop": ("\x00never",)}])
async def test_a_reader_who_waits_reads_the_same(
    model: Any, chat_tokenizer: ChatTokenizer, wishes: dict[str, Any]
) -> None:
    told = await read(model, chat_tokenizer, yields_per_s=10**9, **wishes)
    late = await read(model, chat_tokenizer, yields_per_s=1, **wishes)
    assert text(late) == text(told)
    assert late[-1] == told[-1] or isinstance(late[-1], Finish)
    assert deltas(late)[-1].usage.completion_tokens == TOKENS
    assert len(deltas(late)) < len(deltas(told))


async def test_what_was_held_back_is_told_before_a_failure(
    model: Any, chat_tokenizer: ChatTokenizer
) -> None:
    whole = await read(model, chat_tokenizer, yields_per_s=10**9)
    prompt = deltas(whole)[0].usage.prompt_tokens
    cut = await read(model, chat_tokenizer, yields_per_s=1, most=prompt + 9)
    assert isinstance(cut[-1], EngineFailed)
    assert deltas(cut)[-1].usage.completion_tokens == 11
    assert text(whole).startswith(text(cut))
