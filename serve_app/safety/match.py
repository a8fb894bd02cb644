"""When a found sequence of letters counts as a banned term: the rule about gaps.

The automaton looks at letters alone, so it also finds terms across spaces, commas and word
boundaries. `stands` throws out what ordinary writing brings together by chance. Reasons and
examples: docs/decisions/20261121-hold-back.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

FIRST_UNSPACED = "\u0e00"  # from Thai on, scripts are taken as written without spaces
_WORD = 2  # letters; most Chinese words have two


class Gap(IntEnum):
    """What stands before a letter, weakest first."""

    NONE = 0
    SCRIPT = 1  # nothing, but a spaced script meets an unspaced one
    SOFT = 2
    LINE = 3
    CLAUSE = 4  # also the beginning and the end of the text


@dataclass(frozen=True, slots=True)
class Term:
    """A banned term; `own` gives, by letter, the strongest gap the list puts before it."""

    letters: str
    own: Mapping[int, Gap]
    rule: str


def spaced(letter: str) -> bool:
    """Tell whether the letter's script puts spaces between words."""
    return letter < FIRST_UNSPACED


def stands(term: Term, gaps: Sequence[Gap]) -> bool:
    """Judge one occurrence.

    `gaps` has one entry before each letter and one after the last. A stronger last gap never
    turns a match into none: what stands when a letter follows also stands at the end.
    """
    letters, size = term.letters, len(term.letters)
    if spaced(letters[0]) and gaps[0] is Gap.NONE:
        return False
    if spaced(letters[-1]) and gaps[-1] is Gap.NONE:
        return False
    foreign = [i for i in range(1, size) if gaps[i] >= Gap.SOFT and not _expected(term, i, gaps[i])]
    if not foreign:
        return True
    lone = [gaps[i] >= Gap.SOFT <= gaps[i + 1] for i in range(size)]
    frayed = (gaps[0] < Gap.SOFT and foreign[0] == 1) + (
        gaps[-1] < Gap.SOFT and foreign[-1] == size - 1
    )
    return (not frayed or frayed < sum(lone)) and all(
        lone[i - 1] or lone[i] or _splits_words(letters, i, gaps[i]) for i in foreign
    )


def _expected(term: Term, index: int, gap: Gap) -> bool:
    """Tell whether the list, or the habit of a space between scripts, puts this gap here."""
    if gap <= term.own.get(index, Gap.NONE):
        return True
    return gap is Gap.SOFT and spaced(term.letters[index - 1]) != spaced(term.letters[index])


def _splits_words(letters: str, index: int, gap: Gap) -> bool:
    """Tell whether a gap parts an unspaced term into pieces that are words themselves."""
    unspaced = not spaced(letters[index - 1]) and not spaced(letters[index])
    return gap is Gap.SOFT and unspaced and _WORD <= index <= len(letters) - _WORD
