"""Finds words in a text that is still being written."""

from collections.abc import Iterable
from typing import NamedTuple


class Found(NamedTuple):
    """A word and where it begins."""

    at: int
    word: str


def by_end(found: Found) -> tuple[int, int]:
    """By end, then by beginning."""
    return found.at + len(found.word), found.at


class Finder:
    """Looks for some words; keeps no state."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)
        self._beginnings = {word[:end] for word in self.words for end in range(1, len(word))}
        self._longest = max(map(len, self._beginnings), default=0)

    def __or__(self, other: "Finder") -> "Finder":
        return Finder(self.words | other.words) if self.words else other

    def find(self, text: str, after: int = 0) -> Found | None:
        """The word that is complete first, but not within the first `after` characters.

        Of several that end at one place, the longest.
        """
        begins = ((text.find(w, max(0, after - len(w) + 1)), w) for w in self.words)
        return min((Found(at, w) for at, w in begins if at >= 0), default=None, key=by_end)

    def safe(self, text: str) -> int:
        """How many characters from the left no unfinished word can reach."""
        longest = min(self._longest, len(text))
        begun = (n for n in range(longest, 0, -1) if text[-n:] in self._beginnings)
        return len(text) - next(begun, 0)
