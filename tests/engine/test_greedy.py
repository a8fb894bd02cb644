"""Greedy answers equal transformers' own, however the work is cut and mixed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.sequence import Sequence
from serve_app.settings import EngineSettings
from tests.engine.parts import Machine, Twins, answer, prompt

LENGTHS = (48, 7, 130, 64, 1, 33)
COUNT = 24


def check_equals_generate(twins: Twins, machine: Machine) -> None:
    prompts = [prompt(seed, length) for seed, length in enumerate(LENGTHS)]
    sequences = [Sequence(list(tokens), COUNT) for tokens in prompts]
    machine.finish(sequences)
    for tokens, sequence in zip(prompts, sequences, strict=True):
        assert answer(sequence) == twins.generate(tokens, COUNT)
    assert machine.scheduler.blocks.available == machine.scheduler.blocks.total


@pytest.mark.parametrize("page_tokens", [1, 4, 16, 64])
def test_greedy_equals_generate_for_every_page_size(twins: Twins, page_tokens: int) -> None:
    check_equals_generate(twins, Machine(twins.served, EngineSettings(page_tokens=page_tokens)))


@pytest.mark.parametrize("step_tokens", [2, 7, 16, 100])
def test_greedy_equals_generate_for_every_step_budget(twins: Twins, step_tokens: int) -> None:
    check_equals_generate(twins, Machine(twins.served, EngineSettings(step_tokens=step_tokens)))


@pytest.mark.parametrize("max_running", [1, 3])
def test_greedy_equals_generate_for_every_batch_size(twins: Twins, max_running: int) -> None:
    check_equals_generate(twins, Machine(twins.served, EngineSettings(max_running=max_running)))


@pytest.mark.parametrize("page_tokens", [1, 4, 16])
def test_a_preempted_sequence_resumes_with_the_same_tokens(twins: Twins, page_tokens: int) -> None:
    machine = Machine(twins.served, EngineSettings(page_tokens=page_tokens, kv_tokens=288))
    check_equals_generate(twins, machine)
    assert machine.scheduler.totals.preemptions > 0


@pytest.mark.parametrize("page_tokens", [1, 4, 16])
def test_a_known_beginning_is_reused_and_changes_nothing(twins: Twins, page_tokens: int) -> None:
    machine = Machine(twins.served, EngineSettings(page_tokens=page_tokens))
    beginning = prompt(9, 70)
    machine.finish([Sequence(list(beginning), 1)])
    longer = Sequence([*beginning, 5, 6], COUNT)
    machine.finish([longer])
    assert longer.cached == 70 // page_tokens * page_tokens
    assert answer(longer) == twins.generate([*beginning, 5, 6], COUNT)


@pytest.mark.parametrize("page_tokens", [1, 4, 16])
@pytest.mark.parametrize("max_running", [1, 3, 8])
def test_every_fork_answers_as_if_it_had_asked_alone(
    twins: Twins, page_tokens: int, max_running: int
) -> None:
    chosen = EngineSettings(page_tokens=page_tokens, max_running=max_running, kv_tokens=288)
    machine, asked = Machine(twins.served, chosen), prompt(5, 37)
    leader = Sequence(list(asked), COUNT)
    forks = [leader.fork(leader.choice) for _ in range(3)]
    machine.finish([leader])
    expected = twins.generate(asked, COUNT)
    assert [answer(one) for one in (leader, *forks)] == [expected] * 4


@pytest.mark.parametrize("page_tokens", [1, 4, 16])
def test_a_document_that_comes_back_from_the_host_changes_nothing(
    twins: Twins, page_tokens: int
) -> None:
    chosen = EngineSettings(page_tokens=page_tokens, kv_tokens=240, host_kv_tokens=480)
    machine = Machine(twins.served, chosen)
    document, other = prompt(9, 200), prompt(8, 200)
    machine.finish([Sequence(list(document), 1)])
    machine.finish([Sequence(list(other), 1)])
    back = Sequence([*document, 5, 6], COUNT)
    machine.finish([back])
    assert back.cached == 200 // page_tokens * page_tokens
    assert machine.scheduler.totals.host_hit_tokens > 100
    assert answer(back) == twins.generate([*document, 5, 6], COUNT)


def test_other_salts_share_nothing(twins: Twins) -> None:
    machine = Machine(twins.served, EngineSettings())
    tokens = prompt(9, 70)
    machine.finish([Sequence(list(tokens), 1, salt=b"one")])
    other = Sequence(list(tokens), 1, salt=b"other")
    machine.finish([other])
    assert other.cached == 0


def test_the_end_token_stops_and_is_kept(twins: Twins) -> None:
    tokens = prompt(3, 20)
    whole = twins.generate(tokens, COUNT)
    end = whole[5]
    sequence = Sequence(list(tokens), COUNT, end_ids=frozenset({end}))
    Machine(twins.served, EngineSettings()).finish([sequence])
    assert answer(sequence) == whole[: whole.index(end) + 1]


arrivals = st.lists(
    st.tuples(
        st.integers(0, 2),  # which of three texts the prompt begins with
        st.integers(1, 60),  # prompt tokens
        st.integers(1, 12),  # answer tokens
        st.integers(0, 8),  # steps before it arrives
        st.sampled_from([1, 1, 2, 4]),  # answers to it
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(
    arrivals=arrivals,
    page_tokens=st.sampled_from([1, 4, 16, 64]),
    step_tokens=st.integers(1, 80),
    kv_tokens=st.integers(128, 400),
    max_running=st.integers(1, 8),
    host_kv_tokens=st.sampled_from([0, 64, 640]),
)
def test_any_mix_gives_each_the_likeliest_tokens(
    *,
    precise_twins: Twins,
    arrivals: list[tuple[int, int, int, int, int]],
    page_tokens: int,
    step_tokens: int,
    kv_tokens: int,
    max_running: int,
    host_kv_tokens: int,
) -> None:
    machine = Machine(
        precise_twins.served,
        EngineSettings(
            page_tokens=page_tokens,
            step_tokens=step_tokens,
            kv_tokens=kv_tokens,
            max_running=max_running,
            host_kv_tokens=host_kv_tokens,
        ),
    )
    sequences = []
    for text, length, count, pause, answers in arrivals:
        leader = Sequence(prompt(text, length), count)
        forks = [leader.fork(leader.choice) for _ in range(answers - 1)]
        sequences += [leader, *forks]
        machine.scheduler.add(leader)
        for _ in range(pause):
            machine.step()
    machine.finish()
    for sequence in sequences:
        expected = precise_twins.likeliest(sequence.tokens[:-1])
        assert answer(sequence) == expected[sequence.prompt_tokens - 1 :]
    assert machine.scheduler.blocks.available == machine.scheduler.blocks.total
