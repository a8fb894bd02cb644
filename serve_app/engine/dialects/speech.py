"""Reads an answer: what is thought, what is said, and where tools are called.

Line feeds beside marks belong to the spelling and are not shown. Stop strings count in what is
said, not in thoughts or arguments, and do not reach over either.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from serve_app.engine.dialects.calling import Call, Calls, Progress, opened
from serve_app.engine.dialects.finder import Finder, Found, by_end
from serve_app.engine.dialects.marks import ROLES, SIGNS, Mark, Marks, shown
from serve_app.engine.dialects.pieces import CallOpened, Piece, Text
from serve_app.engine.dialects.tape import Tape
from serve_app.messages import Channel

_MARGIN = 16  # line feeds at most beside a mark; a model that repeats itself writes more


class State(Enum):
    """Where in an answer the next text belongs."""

    HEAD = auto()  # before a turn's first word, which may begin a call
    CONTENT = auto()
    PAUSE = auto()  # before the first thought
    REASONING = auto()
    CALL = auto()


_EXITS: Mapping[State, Mapping[Mark, State]] = {
    State.CONTENT: {
        Mark.THINK: State.PAUSE,
        Mark.CALL: State.CALL,
        Mark.TURN: State.HEAD,
        Mark.END: State.HEAD,
    },
    State.REASONING: {
        Mark.UNTHINK: State.HEAD,
        Mark.CALL: State.CALL,
        Mark.TURN: State.HEAD,
        Mark.END: State.HEAD,
    },
}
_CHANNELS = {State.CONTENT: Channel.CONTENT, State.REASONING: Channel.REASONING}


@dataclass(frozen=True, slots=True)
class Manner:
    """What to expect of one answer."""

    marks: Marks
    begins: State = State.CONTENT
    margin: str = ""  # characters that a turn may begin with and that are not shown
    first_margin: str = ""  # likewise of the first turn
    thinks: bool = False  # whether the marks around thoughts mean anything
    calls: Calls | None = None  # None: no tools were offered
    parallel: bool = True  # whether another call may follow the first
    demanded: bool = False  # whether the answer can be nothing but calls
    stop: tuple[str, ...] = ()
    keeps_stop: bool = False  # whether what ended the answer is shown

    def exits(self, state: State) -> dict[Mark, State]:
        """Without those that mean nothing in this answer."""
        deaf = set() if self.thinks else {Mark.THINK, Mark.UNTHINK}
        deaf |= set() if self.calls and self.calls.marked else {Mark.CALL}
        return {mark: target for mark, target in _EXITS[state].items() if mark not in deaf}


class Speech:
    """The state of one answer; text comes by way of its tape."""

    def __init__(self, manner: Manner, tape: Tape) -> None:
        self._manner = manner
        self._tape = tape
        self._state = manner.begins
        self._margin = manner.first_margin
        self._exits = {state: manner.exits(state) for state in _EXITS}
        self._marks = {state: manner.marks.finder(exits) for state, exits in self._exits.items()}
        self._stops = Finder(manner.stop)
        self._all = self._stops | self._marks[State.CONTENT]
        self._holds_line_feeds = Mark.THINK in self._exits[State.CONTENT] or bool(
            manner.calls and manner.calls.marked
        )
        self._starts = {
            State.CONTENT: _starts(self._all, line_feeds=self._holds_line_feeds),
            State.REASONING: _starts(self._marks[State.REASONING], line_feeds=True),
        }
        self._steps = {
            State.HEAD: self._head,
            State.CONTENT: self._speak,
            State.PAUSE: self._pause,
            State.REASONING: self._speak,
            State.CALL: self._listen,
        }
        self._out: list[Piece] = []
        self._spoke = False
        self._call: Call | None = None
        self._opened = 0
        self.calls = 0  # completed
        self.stopped = False
        self.stopped_by: str | None = None  # the stop string that ended the answer
        self._stops_from = 0  # character of the answer up to which no stop string counts

    def read(self, *, over: bool = False) -> list[Piece]:
        """Take from the tape what is certain; `over`: nothing will follow, so all is."""
        self._out = []
        while not self.stopped and self._steps[self._state](over):
            pass
        return self._out

    def spare(self) -> None:
        """Let no stop string count that is complete by now."""
        self._stops_from = self._tape.end

    def passes(self, text: str) -> Channel | None:
        """Where a text without marks belongs if it can be shown as it comes.

        None: something waits before it or may begin in it, so it must go by way of the tape.
        """
        starts = self._starts.get(self._state)
        if not starts or not self._tape.empty or starts.search(text):
            return None
        self._spoke |= self._state is State.CONTENT
        return _CHANNELS[self._state]

    def _head(self, over: bool) -> bool:
        text = self._tape.text
        body = _without_margin(text, self._margin)
        if not body and (over or len(text) <= _MARGIN):
            return False
        calls = self._manner.calls
        opens = calls.opens(body) if calls else False
        if opens is None and (not over or self._is_cut_off(body)):
            return False
        if opens or not self._spoke:
            self._tape.drop(len(text) - len(body))
        self._margin = self._manner.margin
        self._state = State.CALL if opens else State.CONTENT
        return True

    def _pause(self, over: bool) -> bool:
        text = self._tape.text
        body = _without_margin(text, "\n")
        if not body and (over or len(text) <= _MARGIN):
            return False
        self._tape.drop(len(text) - len(body))
        self._state = State.REASONING
        return True

    def _speak(self, over: bool) -> bool:
        text = self._tape.text
        found = self._find(text)
        if not found:
            self._show(self._certain(text) if not over or self._manner.demanded else len(text))
            return False
        mark = self._manner.marks.meaning.get(found.word)
        if not mark:
            self._show(found.at + (len(found.word) if self._manner.keeps_stop else 0))
            self.stopped, self.stopped_by = True, found.word
            return False
        end = found.at if mark in ROLES else self._before_margin(text, found.at)
        self._show(end)
        self._tape.drop(found.at - end + (0 if mark is Mark.CALL else len(found.word)))
        self._state = self._exits[self._state][mark]
        return True

    def _find(self, text: str) -> Found | None:
        found = self._marks[self._state].find(text)
        if self._state is not State.CONTENT or not self._stops.words:
            return found
        stop = self._stops.find(text, max(0, self._stops_from - self._tape.begin))
        return min((each for each in (found, stop) if each), default=None, key=by_end)

    def _certain(self, text: str) -> int:
        """How much of the text no mark, stop string or margin can take back."""
        finder = self._all if self._state is State.CONTENT else self._marks[self._state]
        return self._before_margin(text, finder.safe(text))

    def _before_margin(self, text: str, end: int) -> int:
        if self._state is State.CONTENT and not self._holds_line_feeds:
            return end
        last = text[max(0, end - _MARGIN) : end]
        return end - len(last) + len(last.rstrip("\n"))

    def _show(self, length: int) -> None:
        text, places = self._tape.take(length)
        if text := shown(text):
            self._out.append(Text(text, _CHANNELS[self._state], places))
            self._spoke |= self._state is State.CONTENT

    def _listen(self, over: bool) -> bool:
        self._call = self._call or self._begin_call()
        if over and self._is_cut_off(self._tape.text):
            return False
        progress = Progress.WAITS
        for item in self._call.read(self._tape, over=over):
            if isinstance(item, Progress):
                progress = item
            else:
                self._out.append(item)
                self._opened += isinstance(item, CallOpened)
                self._spoke |= isinstance(item, Text)
        if progress is not Progress.WAITS:
            self._hang_up(done=progress is Progress.DONE)
        return progress is not Progress.WAITS

    def _is_cut_off(self, text: str) -> bool:
        """Whether a demanded call ends within its name; it is a call all the same."""
        calls = self._manner.calls
        name = calls.unfinished(text) if text and calls and self._manner.demanded else None
        if name is None:
            return False
        self._tape.drop(len(self._tape.text))
        if name:
            self._out.append(opened(self._opened, name))
        return True

    def _begin_call(self) -> Call:
        if not self._manner.calls:
            raise RuntimeError("A call was read although no tools were offered.")
        return self._manner.calls.begin(self._opened)

    def _hang_up(self, *, done: bool) -> None:
        self._call = None
        self.calls += done
        self.stopped = done and not self._manner.parallel
        self._state = State.HEAD if done else State.CONTENT


def _starts(finder: Finder, *, line_feeds: bool) -> re.Pattern[str]:
    """What finds a letter with which something begins that may not be shown at once."""
    letters = {word[0] for word in finder.words} | ({"\n"} if line_feeds else set())
    return re.compile(f"[{SIGNS}{re.escape(''.join(sorted(letters)))}]")


def _without_margin(text: str, characters: str) -> str:
    margin = text[:_MARGIN]
    return text[len(margin) - len(margin.lstrip(characters)) :]
