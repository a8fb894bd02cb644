from hypothesis import example, given
from hypothesis import strategies as st

from serve_app.safety.lexicon import parse
from serve_app.safety.match import Gap, stands


@given(
    st.text("甲乙ab -，", min_size=1, max_size=6).filter(lambda line: line.strip(" -，")), st.data()
)
def test_what_stands_when_a_letter_follows_stands_before_every_gap(
    line: str, data: st.DataObject
) -> None:
    """The window relies on it: a block at once is never one that waiting would have undone."""
    term = parse(line, "list.txt:1")
    size = len(term.letters)
    gaps = data.draw(st.lists(st.sampled_from(Gap), min_size=size, max_size=size))
    standing = [stands(term, [*gaps, after]) for after in Gap]
    assert standing == sorted(standing)


@given(st.text("甲乙丙丁", min_size=1, max_size=6), st.sampled_from(Gap), st.sampled_from(Gap))
@example("甲", Gap.NONE, Gap.NONE)
def test_an_unspaced_term_in_one_piece_stands_anywhere(word: str, before: Gap, after: Gap) -> None:
    term = parse(word, "list.txt:1")
    assert stands(term, [before, *[Gap.NONE] * (len(word) - 1), after])


@given(st.text("abc", min_size=1, max_size=6), st.sampled_from(Gap), st.sampled_from(Gap))
def test_a_spaced_term_in_one_piece_stands_as_a_word_only(
    word: str, before: Gap, after: Gap
) -> None:
    term = parse(word, "list.txt:1")
    gaps = [before, *[Gap.NONE] * (len(word) - 1), after]
    assert stands(term, gaps) is (before is not Gap.NONE and after is not Gap.NONE)
