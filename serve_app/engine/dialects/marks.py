"""What divides an answer: role tokens, and marks around thoughts, calls and arguments.

Where the vocabulary has a mark as one token, only that token counts: a model that quotes
`<tool_call>` letter by letter, because its user wrote so, calls nothing. In text that is read such
a token stands as a lone surrogate, a character that no decoded text can hold.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache

from serve_app.engine.dialects.finder import Finder


class Mark(Enum):
    """By how GLM spells them."""

    TURN = "<|assistant|>"  # the assistant goes on in a new turn
    END = "<|observation|>"  # the answer is over, as after any other role's token
    THINK = "<think>"
    UNTHINK = "</think>"
    CALL = "<tool_call>"
    UNCALL = "</tool_call>"
    KEY = "<arg_key>"
    UNKEY = "</arg_key>"
    VALUE = "<arg_value>"
    UNVALUE = "</arg_value>"


ROLES = (Mark.TURN, Mark.END)
_ENDS = ("<|endoftext|>", "<|system|>", "<|user|>", "<|observation|>")
_SIGNS = {mark: chr(0xD800 + number) for number, mark in enumerate(Mark)}
_SHOWN = {ord(sign): "" if mark in ROLES else mark.value for mark, sign in _SIGNS.items()}

TAGS = frozenset(mark.value for mark in Mark if mark not in ROLES) | {
    "<tool_response>",
    "</tool_response>",
}
SIGNS = "\\ud800-\\udfff"  # for a pattern: all characters that can stand for a mark
TURNS = Finder(_SIGNS[mark] for mark in ROLES)


class Marks:
    """How one vocabulary spells the marks."""

    def __init__(self, control: Mapping[str, int]) -> None:
        """`control` are the tokens that no user's text can spell, by how they are written.

        Those that are left out mean nothing where they stand.
        """
        ends = {control[word]: _SIGNS[Mark.END] for word in _ENDS if word in control}
        self.by_token = ends | {control[m.value]: _SIGNS[m] for m in Mark if m.value in control}
        self._words = {
            mark: sign if mark in ROLES or mark.value in control else mark.value
            for mark, sign in _SIGNS.items()
        }
        self.meaning = {word: mark for mark, word in self._words.items()}
        self._control = control
        self._finder = lru_cache(lambda marks: Finder(map(self.word, marks)))

    def without_roles(self) -> "Marks":
        """For answers in which roles divide nothing."""
        roles = {*_ENDS, *(mark.value for mark in ROLES)}
        return Marks({word: n for word, n in self._control.items() if word not in roles})

    def spelt(self, mark: Mark) -> int | str:
        """How the model writes it: the token of the mark, or its letters where there is none."""
        return self._control.get(mark.value, mark.value)

    def word(self, mark: Mark) -> str:
        """How the mark stands in text that is read."""
        return self._words[mark]

    def finder(self, marks: Iterable[Mark]) -> Finder:
        """Look for some marks; the same ones are looked for in many answers."""
        return self._finder(frozenset(marks))


def shown(text: str) -> str:
    """Text as it may be seen: marks that meant nothing where they stood are spelt out."""
    return text if text.isascii() else text.translate(_SHOWN)
