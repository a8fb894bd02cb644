import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.choice import Choice
from serve_app.engine.draws import Chances
from serve_app.engine.sampling import chances
from serve_app.engine.sampling.sampler import Sampler
from serve_app.engine.sequence import Sequence
from serve_app.settings import EngineSettings
from tests.engine.lots import Only, logits_of, row
from tests.engine.parts import Machine, Twins, prompt


def expected(logits: torch.Tensor, token: int, count: int) -> Chances:
    """What log_softmax says of one row of logits [V]."""
    logprobs = logits.double().log_softmax(-1)
    best = logprobs.argsort(descending=True, stable=True)[:count].tolist()
    top = tuple((each, logprobs[each].item()) for each in best)
    return Chances(logprobs[token].item(), top, int((logprobs > logprobs[token]).sum()) + 1)


def same(seen: Chances, wanted: Chances) -> bool:
    ids, values = zip(*((-1, seen.logprob), *seen.top), strict=True)
    wanted_ids, wanted_values = zip(*((-1, wanted.logprob), *wanted.top), strict=True)
    return ids == wanted_ids and values == pytest.approx(wanted_values, abs=1e-4)


@settings(deadline=None)
@given(counts=st.lists(st.none() | st.integers(0, 25), min_size=1, max_size=6))
def test_chances_are_the_softmax_of_raw_logits_for_rows_that_ask(counts: list[int | None]) -> None:
    """Whatever else a row wishes; more than the vocabulary are all of it."""
    logits = logits_of(len(counts), 22)
    rows = [
        row(Choice(1.3, 0.9, n, logprobs=count, presence_penalty=1.0, top_k=5), [3, 4])
        for n, count in enumerate(counts)
    ]
    draws = Sampler().choose(logits, rows)
    assert set(draws.chances) == {n for n, count in enumerate(counts) if count is not None}
    for place, seen in draws.chances.items():
        token, count = draws.tokens[place], counts[place]
        assert token is not None
        assert count is not None
        assert same(seen, expected(logits[place], token, count))


def test_chances_are_told_before_a_grammar_narrows_them() -> None:
    logits = logits_of(1, 40)
    draws = Sampler().choose(logits, [row(Choice(logprobs=2), matcher=Only(9))])
    assert draws.tokens == [9]
    assert same(draws.chances[0], expected(logits[0], 9, 2))


def test_the_alternatives_are_the_same_whatever_others_ask_for() -> None:
    logits = torch.zeros(2, 300)  # all equal: any twenty of them would do
    rows = [row(Choice(logprobs=3)), row(Choice(logprobs=20))]
    together = Sampler().choose(logits, rows).chances[0]
    assert Sampler().choose(logits[:1], rows[:1]).chances[0] == together


def test_a_row_without_a_token_has_no_chances() -> None:
    draws = Sampler().choose(torch.full((1, 4), torch.nan), [row(Choice(logprobs=1))])
    assert (draws.tokens, draws.chances) == ([None], {})


def told(machine: Machine, *sequences: Sequence) -> dict[Sequence, list[Chances]]:
    """All that the steps say of the sequences' prompts."""
    seen: dict[Sequence, list[Chances]] = {sequence: [] for sequence in sequences}
    for sequence in sequences:
        machine.scheduler.add(sequence)
    while machine.scheduler.running or machine.scheduler.waiting:
        batch = machine.scheduler.schedule()
        draws = machine.runner.run(batch)
        for sequence, its in draws.prompt_chances.items():
            seen[sequence] += its
        machine.scheduler.apply(batch, draws)
    return seen


@pytest.mark.parametrize("step_tokens", [7, 16, 512])
def test_every_prompt_token_but_the_first_has_a_chance(
    precise_twins: Twins, step_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks of any size, beside others, and though the prompt is in the cache."""
    monkeypatch.setattr(chances, "_SLICE", 5)
    machine = Machine(precise_twins.served, EngineSettings(step_tokens=step_tokens))
    other = Sequence(prompt(2, 40), 12)
    for _ in range(2):
        asking = Sequence(prompt(1, 50), 3, Choice(prompt_logprobs=2, logprobs=1))
        few = Sequence(prompt(3, 2), 9, Choice(prompt_logprobs=0))
        seen = told(machine, other, asking, few)
        other = Sequence(prompt(1, 50), 2)
        for sequence in (asking, few):
            inside = sequence.tokens[: sequence.prompt_tokens]
            logits = precise_twins.reference(torch.tensor([inside])).logits[0].detach()
            count = sequence.choice.prompt_logprobs
            assert count is not None
            wanted = [expected(at, to, count) for at, to in zip(logits, inside[1:], strict=False)]
            assert all(map(same, seen[sequence], wanted))
            assert len(seen[sequence]) == len(wanted)
        assert seen[other] == [] if other in seen else True


def test_a_prompt_of_one_token_has_no_chances(twins: Twins) -> None:
    alone = Sequence([5], 2, Choice(prompt_logprobs=1))
    assert told(Machine(twins.served, EngineSettings()), alone) == {alone: []}
