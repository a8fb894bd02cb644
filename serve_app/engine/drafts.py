"""What may follow, guessed from what stands earlier in the same text (prompt lookup).

Code that is edited, documents that are quoted and lists repeat themselves. A guess is checked in
one step, which costs hardly more than a token; what the model would not have said is dropped.
"""

from collections.abc import Sequence

_SAME = 3  # tokens that must have stood together before
_LONGEST_PAUSE = 64  # steps without a guess after many that were wrong
_FAR = 16_384  # tokens of a text that are looked back at


class Trust:
    """How often to guess: always, until guesses are wrong; then at ever longer intervals."""

    def __init__(self) -> None:
        self._wrong = 0  # in a row
        self._pause = 0  # steps to sit out

    def allows(self) -> bool:
        """Ask once a step."""
        if self._pause:
            self._pause -= 1
            return False
        return True

    def judge(self, right: int) -> None:
        """Learn how many tokens were right."""
        self._wrong = 0 if right else self._wrong + 1
        self._pause = min(2**self._wrong, _LONGEST_PAUSE) if self._wrong else 0


class Drafts:
    """One sequence's guesses, and how far they are trusted."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}  # by some tokens: the place after them
        self._read = 0  # tokens up to which places are noted
        self.trust = Trust()

    def propose(self, tokens: Sequence[int], awaited: int, most: int) -> tuple[int, ...]:
        """Up to `most` tokens that may follow `tokens` and `awaited` ones more."""
        if not self.trust.allows():
            return ()
        place = self._find(tokens)
        return () if place is None else tuple(tokens[place + awaited : place + awaited + most])

    def _find(self, tokens: Sequence[int]) -> int | None:
        """The place after the last tokens' latest earlier stand."""
        end = len(tokens)
        for place in range(max(self._read, end - _FAR, _SAME), end):
            self._ends[tuple(tokens[place - _SAME : place])] = place
        self._read = max(self._read, end)
        return self._ends.get(tuple(tokens[end - _SAME : end])) if end >= _SAME else None


def agreed(draft: Sequence[int], drawn: Sequence[int | None]) -> list[int]:
    """Tokens that are drawn behind the first, as far as the draft led where the model went.

    `drawn` has the model's token after each of the draft's, and before them the one after the last
    known token.
    """
    right: list[int] = []
    for guess, token, following in zip(draft, drawn, drawn[1:], strict=False):
        if guess != token or following is None:
            break
        right.append(following)
    return right
