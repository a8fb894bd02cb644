r"""One raw character to its normal form, so that look-alikes compare equal.

The normal form is a string of letters and gap marks:

    letter   what words are made of: letters and digits of every script, "0" and above
    " "      a gap inside a clause: spaces, symbols, quotes, dashes, emoji
    "\n"     a line break
    "."      a clause mark: comma, full stop, colon, bracket and their kin
    ""       nothing: invisible characters and marks that only decorate a letter

Caught: full-width and half-width forms, upper case, mathematical, circled and squared letters,
regional indicators, ligatures, accents and strike-through, zero-width, bidi and tag characters,
variation selectors, compatibility and Kangxi ideographs, traditional characters, Cyrillic,
Greek and small-capital homoglyphs.
Not caught: leet (b0mb), pinyin, homophones, characters taken apart or spelled backwards, other
alphabets' transliterations, HTML entities, base64, real letters put between letters.

NFKC does not survive concatenation (e + U+0301 becomes one letter), so characters that arrive one
by one could read differently from the same characters together. NFKD does, up to the order of
marks, and marks are dropped. The price: accents, Japanese voicing marks and Indic vowel signs
do not tell words apart here.
"""

from functools import lru_cache
from string import ascii_lowercase
from unicodedata import category
from unicodedata import normalize as unicode_form

from opencc import OpenCC

SOFT, LINE, CLAUSE = " ", "\n", "."
FIRST_LETTER = "0"  # every gap mark sorts below, every letter at or above

_CLAUSE_MARKS = frozenset(",.;:!?|¡¿،؛؟।。、—―")
_BRACKETS = frozenset({"Ps", "Pe"})
_LINE_ENDS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_IGNORED = frozenset({"Mn", "Me", "Cc", "Cf"})
_BLANK_LETTERS = frozenset("\u115f\u1160")  # Hangul fillers; U+3164 and U+FFA0 decompose to these
_IDEOGRAPHS = "\u2e80"

_simplify = OpenCC("t2s").convert


def _look_alikes() -> dict[int, str]:
    """Code points that NFKD leaves apart from the ASCII letter they look like, lower case only."""
    pairs = [
        ("авсԁеһіјӏкмнорԛѕтухѵԝ", "abcdehijlkmhopqstyxvw"),  # Cyrillic
        ("αβεικνορτυχω", "abeikvoptuxw"),  # Greek
        ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),  # small capitals
        ("ıɑɡłøđħŧ", "iaglodht"),  # Latin without a decomposition
        *(
            ("".join(map(chr, range(first, first + 26))), ascii_lowercase)
            for first in (0x1F150, 0x1F170, 0x1F1E6)  # circled, squared, regional indicators
        ),
    ]
    return {
        ord(odd): plain for odds, plains in pairs for odd, plain in zip(odds, plains, strict=True)
    }


_LOOK_ALIKES = _look_alikes()


@lru_cache(maxsize=1 << 16)
def normalise(character: str) -> str:
    """Give the normal form of one raw character; the cache bounds memory, not the alphabet."""
    folded = unicode_form("NFKD", unicode_form("NFKD", character).casefold())
    return "".join(_symbol(part) for part in folded.translate(_LOOK_ALIKES))


def _symbol(part: str) -> str:
    kind = category(part)
    if part in _LINE_ENDS:
        return LINE
    if part == "\t":
        return SOFT
    if kind in _IGNORED or part in _BLANK_LETTERS or _is_reserved_ignorable(part):
        return ""
    if part in _CLAUSE_MARKS or kind in _BRACKETS:
        return CLAUSE
    if kind[0] not in "LNM":
        return SOFT
    return _simplify(part) if part >= _IDEOGRAPHS else part


def _is_reserved_ignorable(part: str) -> bool:
    """Tell whether Unicode keeps this unassigned code point for invisible characters."""
    return part == "\u2065" or "\ufff0" <= part <= "\ufff8" or "\U000e0000" <= part <= "\U000e0fff"
