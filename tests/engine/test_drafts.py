"""Guesses at what follows: where they come from, and that they change no answer."""

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.engine.drafts import Drafts, agreed
from serve_app.engine.engine import Engine
from serve_app.engine.model import ModelRunner
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.messages import CompletionRequest, Event, Handling, Sampling
from tests.engine.parts import CONTEXT, VOCABULARY, Late, Twins, grammars_of, settings

PROMPT = (5, 6, 7, 8, 9, 10) * 6
COUNT = 60


def test_what_followed_the_same_tokens_before_is_guessed() -> None:
    assert Drafts().propose([1, 2, 3, 4, 5, 6, 1, 2, 3], 0, 2) == (4, 5)


def test_behind_a_token_that_is_awaited_the_guess_begins_later() -> None:
    assert Drafts().propose([1, 2, 3, 4, 5, 6, 1, 2, 3], 1, 2) == (5, 6)


def test_where_nothing_repeats_nothing_is_guessed() -> None:
    assert Drafts().propose([1, 2, 3, 4, 5, 6, 7], 0, 5) == ()
    assert Drafts().propose([1, 2], 0, 5) == ()


def test_who_guesses_wrong_guesses_less_often() -> None:
    drafts, guesses = Drafts(), 0
    for _ in range(300):
        if drafts.propose([1, 2, 3, 4, 1, 2, 3], 0, 2):
            guesses += 1
            drafts.trust.judge(0)
    assert guesses < 12
    drafts.trust.judge(1)
    assert drafts.propose([1, 2, 3, 4, 1, 2, 3], 0, 2)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 2), st.integers(0, 9))
def test_a_guess_is_a_part_of_what_was_said(tokens: list[int], awaited: int, most: int) -> None:
    drafts = Drafts()
    for end in range(len(tokens)):
        drafts.propose(tokens[:end], awaited, most)
    guess = list(drafts.propose(tokens, awaited, most))
    assert len(guess) <= most
    assert any(tokens[at : at + len(guess)] == guess for at in range(len(tokens) + 1))


@pytest.mark.parametrize(
    ("draft", "drawn", "right"),
    [
        ([4, 5], [4, 5, 6], [5, 6]),
        ([4, 5], [4, 9, 6], [9]),
        ([4, 5], [3, 5, 6], []),
        ([4, 5], [4, None, 6], []),
        ([], [4], []),
    ],
)
def test_tokens_count_as_far_as_the_model_agrees(
    draft: list[int], drawn: list[int | None], right: list[int]
) -> None:
    assert agreed(draft, drawn) == right


@pytest.fixture
def whole(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Prompt and answer; guesses come from there, and every third is wrong in its third token."""
    tokens = [*PROMPT, *twins.generate(list(PROMPT), COUNT)]

    def propose(_: Drafts, known: list[int], awaited: int, most: int) -> tuple[int, ...]:
        at = len(known) + awaited
        guess = tokens[at : at + most]
        if at % 3 == 0 and len(guess) > 2:
            guess[2] = (guess[2] + 1) % VOCABULARY
        return tuple(guess)

    monkeypatch.setattr(Drafts, "propose", propose)
    return tokens


async def answer(engine: Engine, *, speculates: bool | None = None, **wishes: Any) -> list[Event]:
    sampling = Sampling(**{"temperature": 0.0, "max_tokens": COUNT, **wishes})
    handling = Handling(tells_tokens=True, speculates=speculates)
    request = replace(CompletionRequest("r", "glm", PROMPT, sampling), handling=handling)
    async with aclosing(engine.generate(request)) as events:
        return [event async for event in events]


def build(model: Any, tokenizer: ChatTokenizer, wished: str, *, late: bool = False) -> Engine:
    chosen = settings(speculation=wished, page_tokens=4, kv_tokens=600)
    runner = ModelRunner(model, chosen)
    return Engine(
        runner=Late(runner) if late else runner,
        tokenizer=tokenizer,
        grammars=grammars_of(tokenizer, chosen),
        settings=chosen,
        context_tokens=CONTEXT,
        eos_ids=(),
    )


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_an_answer_that_is_guessed_is_the_same_and_takes_fewer_steps(
    twins: Twins, chat_tokenizer: ChatTokenizer, whole: list[int], late: bool
) -> None:
    engine = build(twins.served, chat_tokenizer, "on", late=late)
    engine.start()
    for _ in range(2):
        events = await answer(engine)
        assert events[-1].spelt.tokens == tuple(whole[len(PROMPT) :])
    stats = engine.stats()
    totals = engine._scheduler.totals
    await engine.stop()
    engine._scheduler.blocks.check()
    assert COUNT < totals.accepted < totals.drafted
    assert stats.steps < COUNT
    assert stats.generation_tokens == 2 * COUNT
    assert stats.kv_usage == 0


@pytest.mark.parametrize(
    ("wishes", "guesses"),
    [
        (("off", True), False),
        (("by_request", None), False),
        (("by_request", True), True),
        (("on", None), True),
        (("on", False), False),
    ],
)
async def test_request_and_setting_decide_together(
    twins: Twins,
    chat_tokenizer: ChatTokenizer,
    whole: list[int],
    wishes: tuple[str, bool | None],
    guesses: bool,
) -> None:
    wished, speculates = wishes
    engine = build(twins.served, chat_tokenizer, wished)
    engine.start()
    await answer(engine, speculates=speculates)
    await engine.stop()
    assert (engine._scheduler.totals.drafted > 0) is guesses


@pytest.mark.parametrize("wishes", [{"temperature": 1.0}, {"logprobs": 1}])
async def test_what_is_not_the_likeliest_token_alone_is_not_guessed(
    twins: Twins, chat_tokenizer: ChatTokenizer, whole: list[int], wishes: dict[str, Any]
) -> None:
    engine = build(twins.served, chat_tokenizer, "on")
    engine.start()
    await answer(engine, **wishes)
    await engine.stop()
    assert engine._scheduler.totals.drafted == 0


async def test_a_guess_does_not_pass_the_end(
    twins: Twins, chat_tokenizer: ChatTokenizer, whole: list[int]
) -> None:
    tokens = whole[len(PROMPT) :]
    engine = build(twins.served, chat_tokenizer, "on")
    engine.start()
    for most in (1, 2, 3, 7, 31):
        assert (await answer(engine, max_tokens=most))[-1].spelt.tokens == tuple(tokens[:most])
    end = tokens[40]
    events = await answer(engine, stop_token_ids=(end,))
    await engine.stop()
    assert events[-1].spelt.tokens == tuple(tokens[: tokens.index(end) + 1])
