"""Chats and documents in one step."""

from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Lane, Sequence, Status
from tests.engine.desk import read, scheduler, step, tokens

_numbers = count(1)


def chat(length: int = 6, most: int = 4, tenant: str = "") -> Sequence:
    return Sequence(tokens(length, 1000 * next(_numbers)), most, tenant=tenant)


def document(length: int = 60, most: int = 2, tenant: str = "") -> Sequence:
    return chat(length, most, tenant)


def desk(**fields: int) -> Scheduler:
    wide = {"pages": 200, "step_tokens": 20, "max_waiting": 10**4, "long_prompt_tokens": 12}
    return scheduler(**{**wide, **fields})


def test_a_chat_does_not_wait_for_a_document() -> None:
    books = desk()
    books.add(document(200))
    step(books)
    newcomer = chat()
    books.add(newcomer)
    batch = step(books)
    assert [(row.sequence, row.draws) for row in batch.chunks] == [(newcomer, True)]


def test_documents_rest_until_chats_have_read_a_step_then_take_half_of_one() -> None:
    books = desk(step_tokens=20)
    books.add(document(200))
    step(books)
    seen = []
    for _ in range(8):
        books.add(chat(6, most=1))
        seen.append(read(step(books), Lane.LONG))
    assert seen == [0, 0, 0, 0, 10, 0, 0, 0]


def test_chats_that_fill_every_step_leave_documents_half_of_each_other() -> None:
    books = desk(step_tokens=20)
    books.add(document(200))
    for _ in range(20):
        books.add(chat(10, most=1))
    assert [read(step(books), Lane.LONG) for _ in range(6)] == [0, 10] * 3


def test_a_document_does_not_profit_from_chats_that_were_read_before_it_came() -> None:
    books = desk(step_tokens=20)
    for _ in range(3):
        books.add(chat(6, most=1))
        step(books)
    books.add(document(200))
    books.add(chat(6, most=1))
    assert read(step(books), Lane.LONG) == 0


def test_a_step_without_a_chats_prompt_is_a_documents_again() -> None:
    books = desk(step_tokens=20)
    books.add(document(200))
    books.add(chat(6, most=2))
    assert [read(step(books), Lane.LONG) for _ in range(2)] == [0, 19]


def test_a_document_takes_the_whole_step_while_nobody_else_wants_it() -> None:
    books = desk()
    books.add(document(40))
    assert [read(step(books), Lane.LONG) for _ in range(2)] == [20, 20]


def test_a_document_moves_however_many_chat() -> None:
    books = desk()
    paper = document(40)
    books.add(paper)
    steps = 0
    while not paper.completion_tokens and steps < 100:
        while len(books._roster.lines[Lane.SHORT]) < 10:
            books.add(chat())
        step(books)
        steps += 1
    assert steps <= 10


def test_documents_take_turns_by_tenant() -> None:
    books = desk()
    first, second = document(100, tenant="a"), document(30, tenant="b")
    for paper in (first, second):
        books.add(paper)
    while not second.completion_tokens:
        step(books)
    assert first.computed <= 70


def test_a_document_that_is_cached_is_a_chat() -> None:
    books = desk()
    for length, lane in ((60, Lane.LONG), (68, Lane.SHORT)):
        paper = Sequence(tokens(length), 1)
        books.add(paper)
        assert paper.lane is lane
        while not paper.finished:
            step(books)


def test_what_was_cached_when_it_came_and_is_not_any_more_is_a_document_again() -> None:
    books = desk(pages=20, max_running=1)
    books.add(Sequence(tokens(60), 1))
    while books.running or books.waiting:
        step(books)
    books.add(chat(60, 12))
    step(books)
    again = Sequence(tokens(60), 1)
    books.add(again)
    assert again.lane is Lane.SHORT
    while not again.finished:
        step(books)
    assert again.lane is Lane.LONG
    assert again.cached < 60


def test_documents_leave_pages_to_chats() -> None:
    books = desk(pages=64)
    assert books.limits.reserve == 4
    fitting, too_long = (document(29 * 4), document(31 * 4)), document(32 * 4)
    for paper in (*fitting, too_long):
        books.add(paper)
    together = 0
    while not too_long.finished:
        step(books)
        running = [one for one in books.running if one.lane is Lane.LONG]
        together = max(together, len(running))
        assert len(running) == 1 or too_long not in running
    assert together == 2


def test_documents_leave_half_the_places_to_chats() -> None:
    books = desk(max_running=4)
    for _ in range(6):
        books.add(document(24, most=200))
    for _ in range(100):
        while len(books._roster.lines[Lane.SHORT]) < 5:
            books.add(chat(most=2))
        step(books)
    assert sum(one.lane is Lane.LONG for one in books.running) == 2


def test_a_document_takes_no_more_than_its_floor_while_a_chat_lacks_pages() -> None:
    books = desk(pages=40, long_prompt_tokens=50)
    paper, newcomer = document(100), chat(48)
    for sequence in (chat(50, most=30), paper):
        books.add(sequence)
    while books.blocks.available >= 12:
        step(books)
    books.add(newcomer)
    assert paper.pending > 8
    assert [read(step(books), Lane.LONG) for _ in range(2)] == [4, 4]
    assert newcomer.status is Status.WAITING


def test_a_document_as_long_as_the_cache_is_read() -> None:
    books = desk(pages=40)
    paper = document(40 * 4 - 1, most=1)
    books.add(paper)
    for _ in range(3):
        books.add(chat(most=10))
    while not paper.finished:
        step(books)
    assert paper.status is Status.EXHAUSTED


@given(
    lengths=st.lists(st.integers(13, 150), min_size=1, max_size=5),
    chats=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    most=st.integers(1, 20),
)
@settings(max_examples=40, deadline=None)
def test_documents_end_beside_endless_chats(
    lengths: list[int], chats: list[int], most: int
) -> None:
    books = desk(pages=48)
    papers = [document(length, tenant=str(length % 2)) for length in lengths]
    for paper in papers:
        books.add(paper)
    steps = 0
    while not all(paper.finished for paper in papers):
        while len(books._roster.lines[Lane.SHORT]) < 5:
            books.add(chat(chats[steps % len(chats)], most, tenant="chats"))
        step(books)
        steps += 1
        assert steps < 40 * sum(lengths)


def test_even_steps_of_one_token_go_on_while_a_chat_lacks_pages() -> None:
    books = desk(pages=14, step_tokens=1, long_prompt_tokens=40)
    books.add(document(44, most=1))
    for _ in range(30):
        step(books)
    books.add(chat(40))
    for _ in range(14):
        assert step(books)
