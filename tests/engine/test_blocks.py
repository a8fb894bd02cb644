import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serve_app.engine.blocks import Blocks, chain

TOTAL = 12


class PageBooks(RuleBasedStateMachine):
    """Owners take, share, commit and give back pages in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = Blocks(TOTAL)
        self.owners: list[list[int]] = []

    def held(self) -> set[int]:
        return {page for pages in self.owners for page in pages}

    @rule(count=st.integers(1, TOTAL + 2))
    def take(self, count: int) -> None:
        fits = count <= TOTAL - len(self.held())
        assert self.blocks.can_take(count) is fits
        if fits:
            fresh = self.blocks.take(count)
            assert len(set(fresh)) == count
            assert not set(fresh) & self.held()
            self.owners.append(fresh)

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def commit_a_page(self, data: st.DataObject) -> None:
        page = data.draw(st.sampled_from(sorted(self.held())))
        key = data.draw(st.integers(0, 6)).to_bytes(16, "big")
        before = self.blocks.match([key])
        self.blocks.commit(page, key)
        assert self.blocks.match([key]) in ([before] if before else ([page], []))

    @rule(keys=st.lists(st.integers(0, 6), max_size=4, unique=True), count=st.integers(0, 4))
    def reuse(self, keys: list[int], count: int) -> None:
        found = self.blocks.match([key.to_bytes(16, "big") for key in keys])
        fits = count <= TOTAL - len(self.held() | set(found))
        assert self.blocks.can_take(count, found) is fits
        if fits and (found or count):
            pages = self.blocks.take(count, found)
            assert pages[: len(found)] == found
            assert not set(pages[len(found) :]) & self.held()
            self.owners.append(pages)

    @precondition(lambda self: self.owners)
    @rule(data=st.data(), keep=st.booleans())
    def give_back(self, data: st.DataObject, keep: bool) -> None:
        pages = self.owners.pop(data.draw(st.integers(0, len(self.owners) - 1)))
        self.blocks.give_back(pages, keep=keep)

    @invariant()
    def books_balance(self) -> None:
        self.blocks.check()
        assert self.blocks.available == TOTAL - len(self.held())


TestPageBooks = PageBooks.TestCase
TestPageBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def filled(keys: list[bytes]) -> Blocks:
    """A cache full of pages that nobody holds, given back one by one in this order."""
    blocks = Blocks(len(keys))
    for page, key in zip(blocks.take(len(keys)), keys, strict=True):
        blocks.commit(page, key)
        blocks.give_back([page])
    return blocks


def test_the_longest_unused_page_goes_first_and_alone() -> None:
    blocks = filled([b"a", b"b", b"c"])
    blocks.give_back(blocks.take(0, blocks.match([b"a"])))
    blocks.take(1)
    assert [bool(blocks.match([key])) for key in (b"a", b"b", b"c")] == [True, False, True]


def test_the_end_of_a_sequence_is_forgotten_before_its_beginning() -> None:
    blocks = Blocks(3)
    pages = blocks.take(3)
    for page, key in zip(pages, (b"a", b"b", b"c"), strict=True):
        blocks.commit(page, key)
    blocks.give_back(pages)
    blocks.take(1)
    assert blocks.match([b"a", b"b", b"c"]) == pages[:2]


def test_a_match_ends_at_the_first_gap() -> None:
    blocks = filled([b"a", b"b"])
    assert len(blocks.match([b"a", b"x", b"b"])) == 1


def test_of_two_equal_pages_the_first_is_found() -> None:
    blocks = Blocks(2)
    first, second = blocks.take(2)
    blocks.commit(first, b"a")
    blocks.commit(second, b"a")
    assert blocks.match([b"a"]) == [first]


def test_what_failed_is_not_kept() -> None:
    blocks = Blocks(1)
    pages = blocks.take(1)
    blocks.commit(pages[0], b"a")
    blocks.give_back(pages, keep=False)
    assert blocks.match([b"a"]) == []


def test_a_page_given_back_twice_is_noticed() -> None:
    blocks = Blocks(2)
    pages = blocks.take(1)
    blocks.give_back(pages)
    blocks.give_back(pages)
    with pytest.raises(RuntimeError, match="balance"):
        blocks.check()


def test_a_hash_depends_on_all_that_came_before() -> None:
    assert chain(chain(b"", [1, 2]), [3]) != chain(chain(b"", [2, 1]), [3])
    assert chain(b"one", [1]) != chain(b"other", [1])
    assert len(chain(b"", [1])) == 16
