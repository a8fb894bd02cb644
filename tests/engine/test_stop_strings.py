import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.engine.tokenizer import StopStrings

letters = st.text("ab", max_size=20)
stops = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3).map(tuple)


def shown_before(text: str, stops: tuple[str, ...]) -> str:
    """Read letter by letter until the text ends with a stop string; leave that out."""
    for end in range(1, len(text) + 1):
        ended = [stop for stop in stops if text[:end].endswith(stop)]
        if ended:
            return text[: end - max(map(len, ended))]
    return text


@given(pieces=st.lists(letters, max_size=8), stops=stops)
def test_however_it_is_cut_the_same_text_is_shown(
    pieces: list[str], stops: tuple[str, ...]
) -> None:
    watcher = StopStrings(stops)
    shown = "".join(map(watcher.feed, pieces)) + watcher.close()
    assert shown == shown_before("".join(pieces), stops)
    assert watcher.met is any(stop in "".join(pieces) for stop in stops)


@given(text=letters, stops=stops)
def test_nothing_is_shown_that_a_stop_string_takes_back(text: str, stops: tuple[str, ...]) -> None:
    watcher = StopStrings(stops)
    final = shown_before(text, stops)
    shown = ""
    for letter in text:
        shown += watcher.feed(letter)
        assert final.startswith(shown)


@given(text=letters, stops=stops)
def test_no_more_is_held_back_than_could_become_a_stop_string(
    text: str, stops: tuple[str, ...]
) -> None:
    watcher = StopStrings(stops)
    held = text[len(watcher.feed(text)) :]
    assert watcher.met or not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize(("pieces", "shown"), [(["abcd"], "a"), (["ab", "cd"], "a")])
def test_the_stop_string_that_is_complete_first_counts(pieces: list[str], shown: str) -> None:
    watcher = StopStrings(("abcd", "bc"))
    assert "".join(map(watcher.feed, pieces)) == shown


def test_without_stop_strings_nothing_is_held() -> None:
    watcher = StopStrings(())
    assert watcher.feed("abc") == "abc"
    assert watcher.close() == ""
