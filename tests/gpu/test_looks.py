"""How looks are shared out: all that is to be seen is seen once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.engine.gpu.far import Chunk
from serve_app.engine.gpu.kernels.card import FULL
from serve_app.engine.gpu.looks import GRAIN, LEAST, WHOLE, Looks, share_out

BLOCK, HEADS = 64, 32


def looks_of(*chunks: tuple[int, int], heads: int = HEADS) -> Looks:
    """Of chunks with so many tokens before them, and so many of their own."""
    own = [Chunk(0, start, count, seat) for seat, (start, count) in enumerate(chunks)]
    return share_out(enumerate(own), BLOCK, heads)


@given(
    st.lists(st.tuples(st.integers(0, 140_000), st.integers(1, 300)), min_size=1, max_size=6),
    st.sampled_from([1, 8, HEADS]),
)
@settings(deadline=None)
def test_every_block_sees_all_it_may_and_nothing_twice(
    chunks: list[tuple[int, int]], heads: int
) -> None:
    found = looks_of(*chunks, heads=heads)
    seen: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for number, block, begin, end, part in found.looks.tolist():
        seen.setdefault((number, block), []).append((begin, end, part))
    merged = {(number, block): rest for number, block, *rest in found.merges.tolist()}
    parts: list[int] = []
    for number, (start, count) in enumerate(chunks):
        for block in range(-(-count // BLOCK)):
            looks = sorted(seen.pop((number, block)))
            first, many = merged.pop((number, block), [WHOLE, 1])
            assert [part for *_, part in looks] == [
                WHOLE if first < 0 else first + at for at in range(many)
            ]
            assert [begin for begin, *_ in looks] == [0, *(end for _, end, _ in looks[:-1])]
            assert looks[-1][1] == start + min((block + 1) * BLOCK, count)
            assert all(begin % GRAIN == 0 and begin < end for begin, end, _ in looks)
            parts += [part for *_, part in looks if first >= 0]
    assert not seen
    assert not merged
    assert sorted(parts) == list(range(found.parts))


def test_few_tokens_with_a_long_past_fill_the_card() -> None:
    found = looks_of((126_000, 48))
    assert FULL * 0.9 <= len(found.looks) * HEADS <= FULL
    longest = max(end - begin for _, _, begin, end, _ in found.looks.tolist())
    assert longest <= 126_048 * HEADS / FULL + GRAIN


def test_whoever_sees_much_more_than_others_is_cut() -> None:
    found = looks_of(*[(0, 512)] * 4, (126_000, 48))
    assert {chunk for chunk, *_ in found.merges.tolist()} == {4}


def test_what_fills_the_card_or_is_short_stays_whole() -> None:
    assert not looks_of((100_000, 512)).parts
    assert not looks_of((LEAST - BLOCK, BLOCK)).parts
    assert not looks_of(*[(3_000, 64)] * 16).parts


def test_the_longest_looks_come_first() -> None:
    lengths = [end - begin for _, _, begin, end, _ in looks_of((9, 300), (500, 64)).looks.tolist()]
    assert lengths == sorted(lengths, reverse=True)
