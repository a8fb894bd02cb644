import pytest

from serve_app.engine.choice import Choice
from serve_app.engine.sequence import Sequence, Status
from serve_app.errors import Overloaded
from tests.engine.desk import END, scheduler, step, tokens


def test_single_tokens_come_before_chunks() -> None:
    books = scheduler(step_tokens=6)
    early, late = Sequence(tokens(3), 5), Sequence(tokens(20), 5)
    books.add(early)
    step(books)
    books.add(late)
    batch = books.schedule()
    assert [(row.sequence, row.count) for row in batch.decodes] == [(early, 1)]
    assert [(row.sequence, row.count) for row in batch.chunks] == [(late, 5)]


def test_a_long_prompt_is_cut_into_chunks_and_draws_once() -> None:
    books = scheduler(step_tokens=8)
    books.add(Sequence(tokens(20), 1))
    rows = [step(books).rows[0] for _ in range(3)]
    assert [(row.start, row.count, row.draws) for row in rows] == [
        (0, 8, False),
        (8, 8, False),
        (16, 4, True),
    ]


def test_the_youngest_makes_room_and_keeps_its_tokens() -> None:
    books = scheduler(pages=4, max_running=2)
    old, young = Sequence(tokens(7), 9), Sequence(tokens(7, 50), 9)
    books.add(old)
    books.add(young)
    for _ in range(3):
        step(books)
    assert (old.status, young.status) == (Status.RUNNING, Status.WAITING)
    assert young.completion_tokens == 2
    assert books.totals.preemptions == young.preemptions == 1


def test_a_prompt_seen_before_is_found_even_if_its_answer_was_one_token() -> None:
    books = scheduler()
    books.add(Sequence(tokens(13), 1))
    step(books)
    again = Sequence(tokens(13), 1)
    books.add(again)
    step(books)
    assert again.cached == 12


def test_the_last_token_of_a_prompt_is_computed_even_if_its_page_is_known() -> None:
    books = scheduler()
    for _ in range(2):
        books.add(Sequence(tokens(12), 1))
        batch = step(books)
    assert [(row.start, row.count) for row in batch.rows] == [(8, 4)]


def test_a_failed_prompt_is_not_found_again() -> None:
    books = scheduler()
    books.add(Sequence(tokens(13), 2))
    step(books)
    books.finish(books.running[0], Status.FAILED)
    again = Sequence(tokens(13), 1)
    books.add(again)
    step(books)
    assert again.cached == 0


def test_the_line_is_bounded() -> None:
    books = scheduler(max_waiting=2)
    for _ in range(2):
        books.add(Sequence(tokens(3), 1))
    with pytest.raises(Overloaded):
        books.add(Sequence(tokens(3), 1))


@pytest.mark.parametrize("prompt", [10, 16])
def test_what_could_never_fit_is_refused(prompt: int) -> None:
    """The last token that is drawn needs no place."""
    books = scheduler(pages=4)
    with pytest.raises(ValueError, match="longer than the whole"):
        books.add(Sequence(tokens(prompt), 18 - prompt))
    books.add(Sequence(tokens(prompt), 17 - prompt))
    while books.running or books.waiting:
        step(books)
    assert books.blocks.available == 4


def test_totals_count_what_happened() -> None:
    books = scheduler()
    for _ in range(2):
        books.add(Sequence(tokens(9), 3))
        while books.running or books.waiting:
            step(books)
    totals = books.totals
    assert (totals.prompt_tokens, totals.generation_tokens) == (18, 6)
    assert (totals.cache_queried_tokens, totals.cache_hit_tokens) == (18, 8)
    assert (totals.steps, totals.step_tokens) == (6, 9 + 1 + 1 + 1 + 1 + 1)
    assert totals.steps_by_size == {0: 5, 4: 1}


def test_a_prompt_whose_probabilities_are_asked_for_takes_nothing_from_the_cache() -> None:
    books = scheduler()
    for _ in range(2):
        books.add(Sequence(tokens(13), 1, Choice(prompt_logprobs=0)))
        batch = step(books)
    assert [(row.start, row.count) for row in batch.rows] == [(0, 13)]


def test_an_end_token_ends_only_whom_it_should() -> None:
    books = scheduler()
    ends, goes_on = Sequence([1], 5, end_ids=frozenset({END})), Sequence([2], 5)
    for sequence in (ends, goes_on):
        books.add(sequence)
    step(books, END)
    assert (ends.status, goes_on.status) == (Status.STOPPED, Status.RUNNING)


def test_a_long_line_refuses_by_tokens_too_and_tells_when_to_come_back() -> None:
    books = scheduler(max_waiting_tokens=20)
    books.add(Sequence(tokens(12), 1))
    with pytest.raises(Overloaded) as refused:
        books.add(Sequence(tokens(9), 1))
    assert refused.value.retry_after_s > 0
    books.add(Sequence(tokens(8), 1))


def test_a_huge_prompt_waits_when_nobody_else_does() -> None:
    books = scheduler(max_waiting_tokens=20)
    books.add(Sequence(tokens(50), 1))
    assert books.stats().waiting_tokens == 50


def test_all_of_n_wait_or_none() -> None:
    books = scheduler(max_waiting=4)
    books.add(Sequence(tokens(3), 1))
    many = Sequence(tokens(3, 9), 1)
    for seed in range(3):
        many.fork(Choice(seed=seed))
    with pytest.raises(Overloaded):
        books.add(many)
    assert books.stats().waiting == 1


def test_what_has_not_begun_by_its_deadline_never_begins() -> None:
    books = scheduler()
    patient, hasty = Sequence([1], 1, deadline=5.0), Sequence([2], 1, deadline=2.0)
    fork = hasty.fork(Choice(seed=1))
    for sequence in (patient, hasty):
        books.add(sequence)
    assert books.expire(1.9) == []
    assert set(books.expire(2.0)) == {hasty, fork}
    assert hasty.status is fork.status is Status.EXPIRED
    assert [row.sequence for row in step(books).rows] == [patient]
    assert books.stats().expired == 2


def test_what_has_begun_is_not_cut_by_its_deadline() -> None:
    books = scheduler(pages=4, max_running=2)
    old = Sequence(tokens(7), 9, deadline=1.0)
    young = Sequence(tokens(7, 50), 9, deadline=1.0)
    for sequence in (old, young):
        books.add(sequence)
    for _ in range(3):
        step(books)
    assert young.status is Status.WAITING
    assert books.expire(2.0) == []


def test_who_waits_is_told_the_place_and_the_wait() -> None:
    books = scheduler(max_running=1)
    first, second, third = (Sequence(tokens(4, 10 * number), 30) for number in (1, 2, 3))
    for sequence in (first, second, third):
        books.add(sequence)
    for _ in range(4):
        step(books, seconds=0.1)
    places = [books.queued(sequence) for sequence in (first, second, third)]
    assert places[0] is None
    assert [place and place.position for place in places[1:]] == [0, 1]
    assert places[1].wait_s == pytest.approx(2.7, rel=0.3)
    assert places[2].wait_s == pytest.approx(5.7, rel=0.3)


def test_numbers_are_told_by_lane_and_weight() -> None:
    books = scheduler(max_running=1, long_prompt_tokens=8)
    books.add(Sequence(tokens(3), 5))
    step(books)
    books.add(Sequence(tokens(9), 5, weight=2.0))
    books.add(Sequence(tokens(3), 5))
    told = [
        (each.lane, each.tenant_class, each.running, each.waiting) for each in books.stats().lanes
    ]
    assert told == [("long", "2", 0, 1), ("short", "1", 1, 1)]


def test_running_out_of_pages_costs_who_is_ahead_of_their_share() -> None:
    books = scheduler(pages=12, max_running=4)
    greedy = [Sequence(tokens(8, 100 * n), 20, tenant="greedy") for n in (1, 2, 3)]
    modest = Sequence(tokens(7, 900), 20, tenant="modest")
    for sequence in (*greedy, modest):
        books.add(sequence)
    while not books.totals.preemptions:
        step(books)
    assert modest.status is Status.RUNNING
    assert [one.preemptions for one in greedy] == [0, 0, 1]


def test_within_a_tenant_running_out_of_pages_costs_the_least_urgent() -> None:
    books = scheduler(pages=6, max_running=2)
    idle, urgent = Sequence(tokens(7), 12, priority=5), Sequence(tokens(7, 50), 12)
    books.add(idle)
    step(books)
    books.add(urgent)
    while not books.totals.preemptions:
        step(books)
    assert (idle.preemptions, urgent.preemptions) == (1, 0)


def test_a_prompt_moves_on_by_single_tokens_too() -> None:
    books = scheduler(step_tokens=1)
    books.add(Sequence(tokens(3), 1))
    rows = [step(books).rows[0] for _ in range(3)]
    assert [(row.start, row.draws) for row in rows] == [(0, False), (1, False), (2, True)]
