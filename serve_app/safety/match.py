"""When a found sequence of letters counts as a banned term: the rule about gaps.

The automaton looks at letters alone, so it also finds terms across spaces, commas and word
boundaries. `stands` throws out what ordinary writing brings together by chance. Reasons and
examples: docs/decisions/20261121-hold-back.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from serve_app.safety.normalise import CLAUSE, LINE, SOFT

FIRST_UNSPACED = "\u0e00"  # from Thai on, scripts are taken as written without spaces


class Gap(IntEnum):
    """What stands before a letter, weakest first."""

    NONE = 0
    SCRIPT = 1  # nothing, but a spaced script meets an unspaced one
    SOFT = 2
    LINE = 3
    CLAUSE = 4  # also the beginning and the end of the text


GAPS = {SOFT: Gap.SOFT, LINE: Gap.LINE, CLAUSE: Gap.CLAUSE}


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
    if _is_inside_a_word(term.letters, gaps):
        return False
    foreign = [
        i
        for i in range(1, len(term.letters))
        if gaps[i] > Gap.SCRIPT and not _expected(term, i, gaps)
    ]
    return not foreign or _is_disguise(term.letters, gaps, foreign)


def _is_inside_a_word(letters: str, gaps: Sequence[Gap]) -> bool:
    """Tell whether a spaced script goes on before or behind: `ass` in `class`."""
    first, last = gaps[0] is Gap.NONE, gaps[-1] is Gap.NONE
    return (first and spaced(letters[0])) or (last and spaced(letters[-1]))


def _is_disguise(letters: str, gaps: Sequence[Gap], foreign: Sequence[int]) -> bool:
    """Tell gaps that spell a term out from those between words and clauses.

    Each gap must touch a letter that stands alone, or lie inside a clause of an unspaced script.
    An end of one letter that belongs to a longer word speaks against it, and must be outnumbered.
    """
    lone = [before > Gap.SCRIPT < behind for before, behind in pairwise(gaps)]
    ends = [gaps[0] <= Gap.SCRIPT and foreign[0] == 1]
    ends.append(gaps[-1] <= Gap.SCRIPT and foreign[-1] == len(letters) - 1)
    return (not any(ends) or sum(ends) < sum(lone)) and all(
        lone[i - 1] or lone[i] or _is_inside_a_clause(letters, i, gaps[i]) for i in foreign
    )


def _expected(term: Term, index: int, gaps: Sequence[Gap]) -> bool:
    """Tell whether the list, or the habit of a space between scripts, puts this gap here."""
    gap = gaps[index]
    if gap <= term.own.get(index, Gap.NONE):
        return True
    return gap is Gap.SOFT and spaced(term.letters[index - 1]) != spaced(term.letters[index])


def _is_inside_a_clause(letters: str, index: int, gap: Gap) -> bool:
    """Tell whether an unspaced term goes on behind the gap, where writers put none."""
    return gap is Gap.SOFT and not spaced(letters[index - 1]) and not spaced(letters[index])
