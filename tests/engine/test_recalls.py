"""Documents that come and go between the device's memory and the host's, as `Steps` plays them."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from serve_app.engine.draws import Draws
from serve_app.engine.sequence import Sequence, Status
from tests.engine.desk import scheduler, step, tokens
from tests.engine.test_steps import Steps, in_use


class Documents(Steps):
    """Two documents, too long to stay together, are asked about again and again."""

    @initialize(host_pages=st.integers(8, 24), ahead=st.sampled_from([1, 2]))
    def furnish(self, host_pages: int, ahead: int) -> None:
        self.build(30, 4, ahead, host_pages, 9)

    @rule(text=st.sampled_from([1, 50]), length=st.integers(36, 44), most=st.integers(1, 3))
    def ask(self, text: int, length: int, most: int) -> None:
        self.add(Sequence(tokens(length, text), most, tenant="one"), 0)

    @precondition(lambda self: any(one.away for one in self.books.running))
    @rule(data=st.data(), status=st.sampled_from([Status.CANCELLED, Status.FAILED]))
    def end_one_that_is_coming_back(self, data: st.DataObject, status: Status) -> None:
        coming = [one for one in self.books.running if one.away]
        self.books.finish(data.draw(st.sampled_from(coming)), status)


TestDocuments = Documents.TestCase
TestDocuments.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)

ROOM = {"pages": 12, "host_pages": 24, "step_tokens": 100, "recalled_tokens": 8}


def ask(books: Any, text: int, length: int = 41) -> Sequence:
    """Ask about a document and let the answer, two tokens, be drawn."""
    sequence = Sequence(tokens(length, text), 2)
    books.add(sequence)
    while not sequence.finished:
        step(books)
    return sequence


def test_a_document_that_had_to_go_is_not_computed_again() -> None:
    books = scheduler(**ROOM)
    ask(books, 1)
    ask(books, 100)
    computed = books.totals.step_tokens
    again = ask(books, 1)
    assert again.cached == 40
    assert books.totals.step_tokens == computed + 1 + 1
    stats = books.stats()
    assert stats.host_hit_tokens == 40 - stats.prefix_cache_hit_tokens > 0


def test_without_room_on_the_host_it_is() -> None:
    books = scheduler(**{**ROOM, "host_pages": 0})
    ask(books, 1)
    ask(books, 100)
    assert ask(books, 1).cached < 40
    assert books.stats().host_queried_tokens == 0


def test_pages_come_back_a_few_a_step_while_others_go_on() -> None:
    books = scheduler(**{**ROOM, "pages": 16})
    ask(books, 1)
    ask(books, 100, 61)
    other = Sequence(tokens(3, 500), 30)
    books.add(other)
    step(books)
    books.add(Sequence(tokens(41, 1), 2))
    batches = [step(books) for _ in range(5)]
    loads = [len(batch.moves.loads) for batch in batches]
    assert max(loads) == 2
    assert sum(loads) > 4
    assert all(other in [row.sequence for row in batch.rows] for batch in batches)


def test_who_comes_back_has_room_kept_that_nobody_else_takes() -> None:
    books = scheduler(**ROOM)
    ask(books, 1)
    ask(books, 100)
    back = Sequence(tokens(41, 1), 2)
    books.add(back)
    step(books)
    assert back.promised
    greedy = Sequence(tokens(20, 300), 1)
    books.add(greedy)
    while not back.finished:
        step(books)
    assert back.preemptions == 0


def test_who_hangs_up_while_pages_come_back_leaves_nothing_held() -> None:
    books = scheduler(**ROOM)
    ask(books, 1)
    ask(books, 100)
    back = Sequence(tokens(41, 1), 2)
    books.add(back)
    batch = books.schedule()
    books.finish(back, Status.CANCELLED)
    books.apply(batch, Draws([]))
    assert batch.recalls
    assert books.blocks.available == books.blocks.total
    books.blocks.check()
    assert not in_use(books.blocks.host)


def test_what_was_put_away_is_found_by_its_own_tenant_alone() -> None:
    books = scheduler(**ROOM)
    ask(books, 1)
    ask(books, 100)
    other = Sequence(tokens(41, 1), 2, salt=b"another tenant")
    books.add(other)
    while not other.finished:
        step(books)
    assert other.cached == 0


def test_what_made_an_answer_fail_does_not_come_back() -> None:
    books = scheduler(**ROOM)
    ask(books, 1)
    ask(books, 100)
    broken = Sequence(tokens(41, 1), 2)
    books.add(broken)
    while not broken.completion_tokens:
        step(books)
    books.finish(broken, Status.FAILED)
    assert ask(books, 1).cached == 0
