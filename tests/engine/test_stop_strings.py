import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.engine.dialects import Piece, Text, Transcript
from serve_app.engine.dialects.marks import Marks
from serve_app.engine.dialects.speech import Manner

letters = st.text("ab", max_size=20)
stops = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3).map(tuple)


class StopStrings:
    """A plain answer whose tokens are pieces of any length."""

    def __init__(self, stops: tuple[str, ...], min_tokens: int = 0, *, kept: bool = False) -> None:
        self._tokens: dict[int, bytes] = {}
        manner = Manner(Marks({}), stop=stops, keeps_stop=kept)
        self._transcript = Transcript(self._tokens, manner, min_tokens)

    @property
    def met(self) -> bool:
        return self._transcript.stopped

    def feed(self, text: str) -> str:
        token = len(self._tokens)
        self._tokens[token] = text.encode()
        return shown(self._transcript.add(token))

    def close(self) -> str:
        return shown(self._transcript.close())


def shown(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, Text))


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


@given(pieces=st.lists(letters, max_size=8), stops=stops)
def test_a_stop_string_is_the_last_that_is_shown_on_request(
    pieces: list[str], stops: tuple[str, ...]
) -> None:
    watcher, whole = StopStrings(stops, kept=True), "".join(pieces)
    shown = ""
    for piece in pieces:
        shown += "" if watcher.met else watcher.feed(piece)
    shown += watcher.close()
    ends = [n for n in range(1, len(whole) + 1) if whole[:n].endswith(stops)]
    assert shown == (whole[: ends[0]] if ends else whole)


def test_without_stop_strings_nothing_is_held() -> None:
    watcher = StopStrings(())
    assert watcher.feed("abc") == "abc"
    assert watcher.close() == ""


@given(pieces=st.lists(letters, max_size=8), stops=stops, least=st.integers(0, 9))
def test_what_is_said_before_the_least_length_stops_nothing(
    pieces: list[str], stops: tuple[str, ...], least: int
) -> None:
    """A stop string counts if the token that completes it is the least one or a later one."""
    watcher = StopStrings(stops, least)
    said = "".join(map(watcher.feed, pieces)) + watcher.close()
    whole = "".join(pieces)
    early = len("".join(pieces[: max(0, least - 1)]))
    ends = [n for n in range(early + 1, len(whole) + 1) if whole[:n].endswith(stops)]
    if not ends:
        assert said == whole
    else:
        assert whole.startswith(said)
        assert any(whole[: ends[0]] == said + stop for stop in stops)
    assert watcher.met is bool(ends)
