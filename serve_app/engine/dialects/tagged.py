"""Calls in GLM-4.5's way: marks around the call, and around each argument's key and value.

The arguments go out as JSON while they are read: a value that can only be a string letter by
letter, any other once it is whole. A call that its turn cuts short is closed, so that its JSON is
valid; one that max_tokens cuts stays unfinished. A name that no tool has is content, and so is
text inside a call that is neither a key with its value nor blank.
"""

from collections.abc import Generator, Iterator, Mapping
from enum import Enum, auto

from serve_app.engine.dialects.arguments import ANY, STRING, Kinds, as_json, kinds_by_name, quoted
from serve_app.engine.dialects.calling import Offer, Progress, opened, the_only
from serve_app.engine.dialects.marks import Mark, Marks, shown
from serve_app.engine.dialects.pieces import Arguments, Piece, Places, Text
from serve_app.engine.dialects.tape import Tape

_GAP = 16  # blanks at most around a name


class State(Enum):
    """Where in a call the next text belongs."""

    NAME = auto()
    GAP = auto()  # between arguments
    KEY = auto()
    PAUSE = auto()  # between a key and its value
    VALUE = auto()
    CLOSED = auto()


_ENDS = {Mark.UNCALL: State.CLOSED, Mark.TURN: State.CLOSED, Mark.END: State.CLOSED}
_EXITS: Mapping[State, Mapping[Mark, State]] = {
    State.NAME: {Mark.KEY: State.GAP, **_ENDS},
    State.GAP: {Mark.KEY: State.KEY, **_ENDS},
    State.KEY: {Mark.UNKEY: State.PAUSE, **_ENDS},
    State.PAUSE: {Mark.VALUE: State.VALUE, **_ENDS},
    State.VALUE: {Mark.UNVALUE: State.GAP, **_ENDS},
}


class TaggedCalls:
    """Every call begins with its mark."""

    marked = True

    def __init__(self, offer: Offer, marks: Marks) -> None:
        self.offer = offer
        self.marks = marks
        self.finders = {state: marks.finder(exits) for state, exits in _EXITS.items()}
        self.begins = marks.word(Mark.CALL)

    def is_name(self, text: str) -> bool:
        name = text.strip()
        return name in self.offer and len(text) <= len(name) + _GAP

    def may_be_name(self, text: str) -> bool:
        """Whether text may still follow that makes it a name."""
        begun = text.strip()
        return any(name.startswith(begun) and len(text) <= len(name) + _GAP for name in self.offer)

    def opens(self, text: str) -> bool | None:  # noqa: ARG002 - only its mark opens a call
        return False

    def begin(self, number: int) -> "TaggedCall":
        return TaggedCall(number, self)

    def unfinished(self, text: str) -> str | None:
        name = text.removeprefix(self.begins)
        if name == text or not self.may_be_name(name):
            return None
        return the_only(each for each in self.offer if each.startswith(name.strip()))


class TaggedCall:
    """Reads from the mark that opens a call; refuses it if no tool has its name."""

    def __init__(self, number: int, calls: TaggedCalls) -> None:
        self._number = number
        self._calls = calls
        self._state = State.NAME
        self._kinds: Mapping[str, Kinds] = {}
        self._key = ""
        self._lead = "{"  # what stands before the next key
        self._kept: list[tuple[str, Places]] = []

    def read(self, tape: Tape, *, over: bool) -> Iterator[Piece | Progress]:
        if self._state is State.NAME:
            verdict = yield from self._open(tape, over=over)
            if verdict:
                yield verdict
                return
        while self._state is not State.CLOSED:
            finder = self._calls.finders[self._state]
            found = finder.find(tape.text)
            untouched = len(tape.text) if over else finder.safe(tape.text)
            yield from self._keep(*tape.take(found.at if found else untouched))
            if not found:
                yield from self._cut() if over else ()
                yield Progress.WAITS
                return
            yield from self._cross(tape, found.word)
        yield Progress.DONE

    def _open(self, tape: Tape, *, over: bool) -> Generator[Piece, None, Progress | None]:
        """Return how far it came, or None once the call has its name."""
        finder, begin = self._calls.finders[State.NAME], len(self._calls.begins)
        rest = tape.text[begin:]
        found = finder.find(rest)
        line = rest[: found.at if found else finder.safe(rest)]
        if found and self._calls.is_name(line):
            tape.drop(begin + found.at)
            yield from self._named(line.strip())
            return None
        if not found and not over and self._calls.may_be_name(line):
            return Progress.WAITS
        text, places = tape.take(begin)
        yield Text(shown(text), places=places)
        return Progress.REFUSED

    def _named(self, name: str) -> Iterator[Piece]:
        self._state = State.GAP
        self._kinds = kinds_by_name(self._calls.offer[name].parameters)
        yield opened(self._number, name)

    @property
    def _streams(self) -> bool:
        return self._state is State.VALUE and self._kinds.get(self._key) == STRING

    def _keep(self, text: str, places: Places) -> Iterator[Piece]:
        if not self._streams:
            self._kept.append((shown(text), places))
        elif text:
            yield Arguments(self._number, quoted(shown(text))[1:-1], places)

    def _kept_text(self) -> tuple[str, Places]:
        kept, self._kept = self._kept, []
        return "".join(text for text, _ in kept), tuple(p for _, places in kept for p in places)

    def _cross(self, tape: Tape, word: str) -> Iterator[Piece]:
        mark = self._calls.marks.meaning[word]
        target = _EXITS[self._state][mark]
        yield from self._leave(target, *self._kept_text())
        self._state = target
        if mark not in {Mark.TURN, Mark.END}:
            tape.drop(len(word))
        if target is State.VALUE:
            yield Arguments(self._number, self._begin_value())
        if target is State.CLOSED:
            yield Arguments(self._number, "}" if self._lead == ", " else "{}")

    def _leave(self, target: State, text: str, places: Places) -> Iterator[Piece]:
        if self._state is State.VALUE:
            value = '"' if self._streams else as_json(text, self._kinds.get(self._key, ANY))
            yield Arguments(self._number, value, places)
        elif self._state is State.KEY and target is State.PAUSE:
            self._key = text.strip()
        else:
            orphan = self._key if self._state is State.PAUSE and target is State.CLOSED else ""
            if orphan or text.strip():
                yield Text(orphan + text, places=places)

    def _begin_value(self) -> str:
        lead, self._lead = self._lead, ", "
        return f"{lead}{quoted(self._key)}: " + ('"' if self._streams else "")

    def _cut(self) -> Iterator[Piece]:
        """Say what was kept when no more will come: unfinished JSON, or stray text."""
        text, places = self._kept_text()
        if self._state in {State.KEY, State.PAUSE}:
            key = text if self._state is State.KEY else self._key
            yield Arguments(self._number, self._lead + quoted(key)[:-1], places)
        elif self._state is State.VALUE and text:
            yield Arguments(self._number, text, places)
        elif text.strip():
            yield Text(text, places=places)
