"""What vLLM's users ask of tokens and prompts, on a whole engine."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from serve_app.engine.engine import Engine
from serve_app.errors import InvalidRequest, TooLong
from serve_app.messages import (
    Caller,
    CompletionRequest,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Handling,
    Sampling,
    Structure,
    StructureKind,
    Usage,
)
from tests.engine import door

CONTEXT = 128
PROMPT = tuple(range(100, 150))


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """A tiny random model that ends by no token of its own."""
    engine = door.engine()
    engine.start()
    yield engine
    await engine.stop()


def ask(prompt: tuple[int, ...] = PROMPT, **fields: Any) -> CompletionRequest:
    names = CompletionRequest.__dataclass_fields__
    own = {name: fields.pop(name) for name in list(fields) if name in names}
    sampling = Sampling(**({"max_tokens": 8, "ignore_eos": True} | fields))
    return CompletionRequest("r", "glm", prompt, sampling, **own)


async def read(engine: Engine, request: CompletionRequest) -> list[Event]:
    async with aclosing(engine.generate(request)) as events:
        return [event async for event in events]


async def tokens(engine: Engine, **fields: Any) -> tuple[int, ...]:
    """The ids of an answer."""
    *_, finish = await read(engine, ask(handling=Handling(tells_tokens=True), **fields))
    assert isinstance(finish, Finish)
    assert finish.spelt is not None
    assert len(finish.spelt.tokens) == finish.usage.completion_tokens
    return finish.spelt.tokens


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_a_prompt_that_fills_the_context_is_told_without_an_answer(engine: Engine) -> None:
    whole = (PROMPT * 3)[:CONTEXT]
    asked = ask(whole, max_tokens=0, prompt_logprobs=0, echo=True)
    echo, finish = await read(engine, asked)
    assert isinstance(echo, Echo)
    assert [each is None for each in echo.chances] == [True] + [False] * (CONTEXT - 1)
    assert finish == Finish(FinishReason.LENGTH, Usage(CONTEXT, 0))
    with pytest.raises(TooLong):
        await read(engine, ask(whole, max_tokens=1))


async def test_ids_of_prompt_and_answer_are_told(engine: Engine) -> None:
    asked = ask(handling=Handling(tells_tokens=True), n=2, temperature=1.0, seed=1)
    echo, *others = await read(engine, asked)
    assert echo == Echo("", (), PROMPT)
    ends = [event for event in others if isinstance(event, Finish)]
    assert {len(end.spelt.tokens) for end in ends if end.spelt} == {8}
    assert ends[0].spelt != ends[1].spelt


async def test_only_allowed_tokens_are_drawn(engine: Engine) -> None:
    assert set(await tokens(engine, allowed_token_ids=(200, 201), temperature=2.0)) <= {200, 201}


async def legible(engine: Engine) -> int:
    """A token of the answer that is whole characters."""
    for token in await tokens(engine, max_tokens=30):
        spelt = await engine.spell((token,))
        if spelt.strip() == spelt != "" and "\ufffd" not in spelt:
            return token
    raise AssertionError("The model says nothing legible.")


async def test_no_bad_word_is_said(engine: Engine) -> None:
    bad = await legible(engine)
    word = await engine.spell((bad,))
    assert bad not in await tokens(engine, max_tokens=30, bad_words=(word,))


async def test_ids_that_there_are_not_are_the_prompts_fault_whoever_reads_them(
    engine: Engine,
) -> None:
    """A guard has a prompt of ids spelled for it, at the same time as the engine reads it."""
    with pytest.raises(InvalidRequest) as unspelled:
        await engine.spell((99_999,))
    with pytest.raises(InvalidRequest) as unread:
        await read(engine, ask((99_999,)))
    assert unspelled.value.param == unread.value.param == "prompt"


async def test_if_nothing_is_left_to_say_the_caller_is_told(engine: Engine) -> None:
    yes = Structure(StructureKind.CHOICE, '["y"]')
    with pytest.raises(InvalidRequest, match="forbid less") as refusal:
        await read(engine, ask(structure=yes, bad_words=("y",)))
    assert refusal.value.param == "bad_words"
    assert text(await read(engine, ask(structure=yes))) == "y"


async def test_a_token_that_ends_the_answer_is_shown_on_request_alone(engine: Engine) -> None:
    said = await tokens(engine, max_tokens=30)
    end = await legible(engine)
    place = said.index(end)
    stopping = {"stop_token_ids": (end,), "max_tokens": 30}
    hidden, kept = [
        await read(engine, ask(**stopping, keeps_stop=keeps)) for keeps in (False, True)
    ]
    spelt = await engine.spell((end,))
    assert text(kept).endswith(spelt)
    assert spelt not in text(hidden)
    for events in (hidden, kept):
        *_, finish = events
        assert isinstance(finish, Finish)
        assert finish.reason is FinishReason.STOP
        assert finish.usage.completion_tokens == place + 1


async def test_what_of_the_callers_ended_an_answer_is_told(engine: Engine) -> None:
    """As vLLM does: an end of the model's own is nobody's wish."""
    end = await legible(engine)
    spelt = await engine.spell((end,))

    async def ended(**fields: Any) -> tuple[FinishReason, str | int | None]:
        *_, finish = await read(engine, ask(**({"max_tokens": 30} | fields)))
        assert isinstance(finish, Finish)
        return finish.reason, finish.stopped_by

    assert await ended(stop=("never said", spelt)) == (FinishReason.STOP, spelt)
    assert await ended(stop_token_ids=(end,)) == (FinishReason.STOP, end)
    assert await ended(max_tokens=2, stop=("never said",)) == (FinishReason.LENGTH, None)
    bound = {"structure": Structure(StructureKind.CHOICE, '["y"]'), "ignore_eos": False}
    assert await ended(**bound) == (FinishReason.STOP, None)


async def test_a_rank_is_the_place_among_the_likeliest(engine: Engine) -> None:
    echo, *_ = await read(engine, ask(prompt_logprobs=20, max_tokens=0))
    assert isinstance(echo, Echo)
    told = [each for each in echo.chances if each]
    for each in told:
        likelier = sum(other.logprob > each.drawn.logprob for other in each.top)
        assert each.drawn.rank
        assert min(each.drawn.rank, 21) == likelier + 1
    assert max(each.drawn.rank or 0 for each in told) > 20


async def test_whoever_salts_shares_no_pages(engine: Engine) -> None:
    cached = []
    for salt in ("", "a", "", "a", "b"):
        asked = ask(handling=Handling(cache_salt=salt), caller=Caller("acme"))
        *_, finish = await read(engine, asked)
        assert isinstance(finish, Finish)
        cached.append(finish.usage.cached_tokens)
    assert cached[:2] + cached[4:] == [0, 0, 0]
    assert min(cached[2:4]) > 0


async def test_of_a_long_prompt_the_last_tokens_are_read(engine: Engine) -> None:
    longer = ask(PROMPT * 3, handling=Handling(last_tokens=-1, tells_tokens=True))
    echo, *_ = await read(engine, longer)
    assert isinstance(echo, Echo)
    assert echo.tokens == (PROMPT * 3)[-(CONTEXT - 8) :]
    short = replace(longer, handling=Handling(last_tokens=5))
    assert (await read(engine, short))[-1].usage.prompt_tokens == 5  # type: ignore[union-attr]


async def test_an_answer_tells_whose_time_it_took(engine: Engine) -> None:
    *_, finish = await read(engine, ask())
    assert isinstance(finish, Finish)
    assert finish.times
    assert (finish.times.lane, finish.times.tenant_class) == ("short", "1")
