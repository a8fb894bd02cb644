import math
import re
from array import array
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher
from transformers import RepetitionPenaltyLogitsProcessor

from serve_app.engine.batch import Row
from serve_app.engine.choice import Choice
from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.lark import HEAD
from serve_app.engine.grammar.matcher import GuidedMatcher
from serve_app.engine.sampling.sampler import Sampler
from serve_app.engine.sampling.tally import Tally
from tests.engine.lots import Lost, Only, choose, edited, logits_of, row

tokens = st.lists(st.integers(0, 39), max_size=30)


def edit(logits: torch.Tensor, *rows: Row) -> torch.Tensor:
    """What the rows' wishes make of their logits."""
    changed = logits.clone()
    Sampler()._edit(changed, [each.sequence for each in rows])
    return changed


@settings(deadline=None)
@given(prompt=tokens.filter(bool), answer=tokens, penalty=st.floats(0.1, 2.0))
def test_repetition_is_penalised_as_in_transformers(
    prompt: list[int], answer: list[int], penalty: float
) -> None:
    logits = logits_of(1, 40)
    seen = torch.tensor([prompt + answer])
    expected = RepetitionPenaltyLogitsProcessor(penalty)(seen, logits)
    one = row(Choice(repetition_penalty=penalty), answer, prompt=prompt)
    torch.testing.assert_close(edit(logits, one), expected)


choices = st.builds(
    Choice,
    repetition_penalty=st.floats(0.1, 2.0),
    presence_penalty=st.floats(-2.0, 2.0),
    frequency_penalty=st.floats(-2.0, 2.0),
    logit_bias=st.lists(st.tuples(st.integers(0, 39), st.floats(-100.0, 100.0)), max_size=5).map(
        tuple
    ),
    min_tokens=st.integers(0, 20),
    held_back=st.frozensets(st.integers(0, 39), max_size=3),
)


@settings(deadline=None)
@given(rows=st.lists(st.builds(row, choices, tokens, prompt=tokens.filter(bool)), max_size=5))
def test_each_row_is_changed_by_its_own_wishes_alone(rows: list[Row]) -> None:
    logits = logits_of(len(rows), 40)
    expected = [edited(scores, each) for scores, each in zip(logits.tolist(), rows, strict=True)]
    torch.testing.assert_close(
        edit(logits, *rows), torch.tensor(expected).reshape(logits.shape), rtol=1e-4, atol=1e-4
    )


def test_presence_counts_once_and_frequency_each_time_and_only_in_the_answer() -> None:
    logits = torch.zeros(2, 4)
    presence = row(Choice(presence_penalty=0.5), [1, 1, 2], prompt=[3])
    frequency = row(Choice(frequency_penalty=0.5), [1, 1, 2], prompt=[3])
    assert edit(logits, presence, frequency).tolist() == [
        [0.0, -0.5, -0.5, 0.0],
        [0.0, -1.0, -0.5, 0.0],
    ]


def test_a_tally_follows_its_sequence() -> None:
    one = row(Choice(repetition_penalty=1.5), [7, 8], prompt=[5, 5, 6]).sequence
    tally = Tally(one)
    tally.follow(one)
    one.tokens += [8, 5]
    tally.follow(one)
    tally.follow(one)
    assert dict(zip(tally.ids, tally.counts, strict=True)) == {5: 1, 6: 0, 7: 1, 8: 2}


def test_without_a_repetition_penalty_a_long_prompt_is_not_tallied() -> None:
    one = row(Choice(presence_penalty=1.0), [7], prompt=range(1_000)).sequence
    tally = Tally(one)
    tally.follow(one)
    assert tally.ids == array("q", [7])


def test_a_tally_ends_with_its_sequence() -> None:
    sampler = Sampler()
    one = row(Choice(presence_penalty=1.0), [2])
    sampler.choose(logits_of(1, 4), [one])
    assert len(sampler._tallies) == 1
    del one
    assert len(sampler._tallies) == 0


def test_an_end_token_is_forbidden_until_the_answer_is_long_enough() -> None:
    logits = torch.tensor([[0.0, 5.0, 1.0]]).expand(3, 3)
    choice = Choice(min_tokens=2, held_back=frozenset({1}))
    rows = [row(choice, answer) for answer in ([], [2], [2, 2])]
    assert choose(logits, *rows) == [2, 2, 1]


def test_a_finished_grammar_ends_an_answer_that_is_too_short() -> None:
    choice = Choice(min_tokens=9, held_back=frozenset({1}))
    logits = torch.zeros(2, 3)
    ended, under_way = Only(1, finished=True), Only(1, 2)
    assert choose(logits, row(choice, matcher=ended), row(choice, matcher=under_way)) == [1, 2]


def test_a_grammar_leaves_only_what_it_allows() -> None:
    logits = logits_of(2, 70)
    allowed = [0, 31, 32, 63, 64, 69]
    changed = edit(logits, row(Choice(), matcher=Only(*allowed)), row(Choice()))
    assert (changed[0] > -math.inf).nonzero().flatten().tolist() == allowed
    assert torch.equal(changed[0, allowed], logits[0, allowed])
    assert torch.equal(changed[1], logits[1])


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_whose_grammar_allows_nothing_fails_alone(temperature: float) -> None:
    choice = Choice(temperature, top_p=0.9, top_k=2, min_p=0.1)
    logits = torch.tensor([[0.0, 9.0]]).expand(4, 2)
    matchers = None, Only(), Lost(), Only(0)
    rows = [row(choice, matcher=matcher) for matcher in matchers]
    assert choose(logits, *rows) == [1, None, None, 0]


def test_an_answer_follows_a_real_grammar_to_its_end() -> None:
    """There are more logits than the vocabulary has tokens, and they know nothing of grammar."""
    letters = {ord(letter): letter.encode() for letter in "abcdefgh"}
    tokenizer = Alphabet(letters, control=(), ends=[1]).tokenizer
    guide = GuidedMatcher(LLMatcher(tokenizer, f"{HEAD}\nstart: /a(bc|de){{3}}h/"))
    written: list[int] = []
    while 1 not in written:
        logits = logits_of(1, 150, seed=len(written))
        (token,) = choose(logits, row(Choice(1.0), written, matcher=guide))
        assert token is not None
        guide.accept(token)
        written.append(token)
    assert re.fullmatch("a(bc|de){3}h", bytes(written[:-1]).decode())


def test_biases_outside_the_vocabulary_are_passed_over() -> None:
    bias = ((-1, 100.0), (3, 100.0), (2, 1.0), (2, 1.0))
    held_back = frozenset({-1, 99})
    choice = Choice(logit_bias=bias, min_tokens=1, held_back=held_back)
    assert edit(torch.zeros(1, 3), row(choice)).tolist() == [[0.0, 0.0, 2.0]]


def test_a_tiny_repetition_penalty_does_not_end_in_infinity() -> None:
    choice = Choice(repetition_penalty=1e-40)
    assert choose(torch.tensor([[1.0, 3.0, 2.0]]), row(choice, prompt=[2])) == [2]


@pytest.mark.parametrize(
    "wish",
    [
        {"logit_bias": ((0, 2.0),)},
        {"min_tokens": 9, "held_back": frozenset({1})},
        {"repetition_penalty": 2.0},
        {"presence_penalty": 1.5},
        {"frequency_penalty": 1.5},
    ],
)
def test_a_wish_counts_without_any_other(wish: dict[str, Any]) -> None:
    rows = [row(choice, [1], prompt=[2]) for choice in (Choice(**wish), Choice())]
    assert choose(torch.tensor([[1.0, 1.5, -9.0]] * 2), *rows) == [0, 1]


def test_only_what_is_allowed_can_be_drawn() -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]] * 2)
    narrow, free = row(Choice(allowed=(1, 3))), row(Choice(logit_bias=((0, 0.5),)))
    assert edit(logits, narrow, free).tolist() == [[-math.inf, 3, -math.inf, 1], [4.5, 3, 2, 1]]
    assert choose(logits, narrow, free) == [1, 0]
    biased = row(Choice(allowed=(1, 3), logit_bias=((0, 100.0), (3, 5.0))))
    assert choose(logits[:1], biased) == [3]


@pytest.mark.parametrize(
    ("answer", "forbidden"),
    [([], {5}), ([1], {5}), ([1, 2], {5, 3}), ([2], {5}), ([1, 2, 3], {5})],
)
def test_no_token_completes_a_bad_word(answer: list[int], forbidden: set[int]) -> None:
    """What the prompt ends with begins nothing."""
    one = row(Choice(banned=((5,), (1, 2, 3))), answer, prompt=[1, 2])
    (scores,) = edit(torch.zeros(1, 6), one).tolist()
    assert {token for token, score in enumerate(scores) if score == -math.inf} == forbidden


def test_a_choice_that_bans_or_allows_is_not_left_to_the_likeliest() -> None:
    assert Choice().plain
    assert not Choice(banned=((5,),)).plain
    assert not Choice(allowed=(5,)).plain
