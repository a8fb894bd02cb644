from serve_app.engine.pages import Pages
from serve_app.engine.sequence import Sequence
from tests.engine.desk import limits, tokens


def filled(pages: Pages, sequence: Sequence) -> Sequence:
    pages.hold(sequence, [], pages.lacking(sequence, len(sequence.tokens)))
    sequence.computed = len(sequence.tokens)
    pages.commit(sequence, len(sequence.tokens))
    return sequence


def test_what_was_computed_is_found_by_whoever_has_the_salt() -> None:
    pages = Pages(limits())
    first = filled(pages, Sequence(tokens(12), 1, salt=b"a"))
    assert pages.known(Sequence(tokens(13), 1, salt=b"a")) == first.pages
    assert pages.known(Sequence(tokens(12), 1, salt=b"a")) == first.pages[:2]
    assert pages.known(Sequence(tokens(13), 1, salt=b"b")) == []


def test_of_a_long_prompt_no_more_is_hashed_than_is_known() -> None:
    pages = Pages(limits(pages=100))
    filled(pages, Sequence(tokens(8), 1))
    asked = Sequence(tokens(300), 1)
    assert len(pages.known(asked)) == 2
    assert len(asked.hashes) == 3


def test_returns_are_counted_and_leave_nothing_held() -> None:
    pages = Pages(limits())
    sequence = filled(pages, Sequence(tokens(10), 1))
    pages.give_back(sequence)
    assert (pages.returns, sequence.pages, sequence.computed) == (1, [], 0)
    assert pages.blocks.available == pages.blocks.total


def test_a_shared_page_lives_as_long_as_one_holds_it() -> None:
    pages = Pages(limits())
    leader = filled(pages, Sequence(tokens(10), 1))
    fork = Sequence(tokens(10), 1)
    ((source, target),) = pages.share(fork, leader)
    assert (source, target) == (leader.pages[2], fork.pages[2])
    pages.give_back(leader)
    assert pages.blocks.total - pages.blocks.available == len(fork.pages)
    pages.give_back(fork)
    pages.blocks.check()
