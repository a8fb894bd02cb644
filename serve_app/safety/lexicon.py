"""Word lists from files: UTF-8, one term a line; a line that begins with # is a comment."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from serve_app.errors import BadSettings
from serve_app.safety.automaton import Automaton
from serve_app.safety.match import GAPS, Gap, Term
from serve_app.safety.normalise import FIRST_LETTER, normalise

MAX_LETTERS = 64  # the longest term bounds what a stream holds back
_NO_GAPS: Mapping[int, Gap] = {}  # one for all the terms without
IN_THE_BOX = Path(__file__).parent / "words"


def load(files: Iterable[Path]) -> Automaton:
    """Build the automaton of all files, or of the lists in the box if there is none.

    Raises BadSettings that names the file, and the line where one is at fault.
    """
    merged: dict[str, Term] = {}
    for file in tuple(files) or sorted(IN_THE_BOX.glob("*.txt")):
        for term in _read(file):
            _add(merged, term)
    return Automaton(merged.values())


def parse(line: str, rule: str) -> Term:
    """Make a term of one line; raises ValueError with what is wrong about it."""
    letters: list[str] = []
    own: dict[int, Gap] = {}
    for symbol in "".join(map(normalise, line)):
        if symbol >= FIRST_LETTER:
            letters.append(symbol)
        else:
            own[len(letters)] = max(GAPS[symbol], own.get(len(letters), Gap.LINE))
    if not letters:
        raise ValueError("the term is empty once spaces and signs are dropped")
    if len(letters) > MAX_LETTERS:
        raise ValueError(f"the term has {len(letters)} letters, at most {MAX_LETTERS} are allowed")
    return Term("".join(letters), own or _NO_GAPS, rule)


def _read(file: Path) -> Iterator[Term]:
    for number, line in enumerate(_lines(file), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                yield parse(text, f"{file.name}:{number}")
            except ValueError as error:
                raise BadSettings(f"safety.word_lists: {file}, line {number}: {error}.") from None


def _lines(file: Path) -> list[str]:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadSettings(f"safety.word_lists: cannot read {file}: {error.strerror}.") from None
    try:
        return raw.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadSettings(
            f"safety.word_lists: {file}, line {line}: not UTF-8; save the file as UTF-8."
        ) from None


def _add(merged: dict[str, Term], term: Term) -> None:
    """Keep one term a spelling; the first line names the rule, gaps of both are allowed."""
    known = merged.get(term.letters)
    if known is None:
        merged[term.letters] = term
    elif term.own:
        own = {
            i: max(known.own.get(i, Gap.NONE), term.own.get(i, Gap.NONE))
            for i in {*known.own, *term.own}
        }
        merged[term.letters] = Term(known.letters, own, known.rule)
