"""What may leave of an answer of one or several choices."""

from dataclasses import replace

from serve_app.messages import (
    ALLOWED,
    Action,
    Channel,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Queued,
    ToolDelta,
    Usage,
    Verdict,
)
from serve_app.pipeline.doors import OutputGuards
from serve_app.pipeline.json_guard import JsonGuard
from serve_app.pipeline.strands import CallStrand, Passed, Strand, TextStrand, judge, without_banned


class Screen:
    """Screens one answer.

    A blocked choice ends there and then with `content_filter`; the others go on, and so does the
    work on it until they have ended, for an engine can be told to stop only all of it. The
    prompt's echo was judged as input; what else might have stood in it is judged here.
    """

    def __init__(self, guards: OutputGuards, choices: int, *, is_json: bool = False) -> None:
        """`is_json`: whether the content is JSON, so that its reader sees it unescaped."""
        self._guards = guards
        self._choices = tuple(_Choice(guards, number, is_json) for number in range(choices))
        self._open = self._unfinished = choices

    @property
    def over(self) -> bool:
        """Every choice has ended for the caller."""
        return not self._open

    @property
    def idle(self) -> bool:
        """Every choice has been finished by the engine."""
        return not self._unfinished

    def see(self, event: Event) -> Passed:
        """Give what may leave because of this event."""
        if isinstance(event, Queued):
            return (event,)
        if isinstance(event, Echo):
            return (self._without_banned(event),)
        if isinstance(event, Finish):
            self._unfinished -= 1
        choice = self._choices[event.choice]
        if choice.ended:
            return ()
        passed = choice.end(event) if isinstance(event, Finish) else choice.see(event)
        self._open -= choice.ended
        return passed

    def verdict(self, choice: int) -> Verdict:
        return self._choices[choice].verdict

    def _without_banned(self, echo: Echo) -> Echo:
        chances = (each and without_banned(each, self._guards) for each in echo.chances)
        return replace(echo, chances=tuple(chances))


class _Choice:
    """The strands of one choice: one a channel, one a tool call.

    Where the answer turns from one to another the one behind gives out what it holds, so that a
    thought is complete before the words begin. It remembers what left, should it go on.
    """

    __slots__ = ("_guards", "_key", "_number", "_strand", "_strands", "ended", "verdict")

    def __init__(self, guards: OutputGuards, number: int, is_json: bool) -> None:
        self.ended = False
        self.verdict = ALLOWED
        self._guards = guards
        self._number = number
        self._key: Channel | int = Channel.CONTENT
        content = JsonGuard(guards.open()) if is_json else guards.open()
        self._strand: Strand = TextStrand(guards, number, Channel.CONTENT, content)
        self._strands: dict[Channel | int, Strand] = {self._key: self._strand}

    def see(self, piece: Delta | ToolDelta) -> Passed:
        key = piece.channel if isinstance(piece, Delta) else piece.call
        if key == self._key:
            return self._judged(self._strand.feed(piece), piece.usage)
        rest = self._judged(self._strand.close(piece.usage), piece.usage)
        if self.ended:
            return rest
        self._turn(key)
        return (*rest, *self._judged(self._strand.feed(piece), piece.usage))

    def end(self, finish: Finish) -> Passed:
        rest = self._judged(self._strand.close(finish.usage), finish.usage)
        if self.ended:
            return rest
        self.ended = True
        return (*rest, self._without_banned(finish))

    def _without_banned(self, finish: Finish) -> Finish:
        """Token ids spell what a stop string may have cut from the text, and so does its name."""
        if finish.spelt and self._bans(finish.spelt.text):
            finish = replace(finish, spelt=None)
        if isinstance(finish.stopped_by, str) and self._bans(finish.stopped_by):
            finish = replace(finish, stopped_by=None)
        return finish

    def _bans(self, text: str) -> bool:
        return judge(text, self._guards).action is not Action.ALLOW

    def _turn(self, key: Channel | int) -> None:
        if key not in self._strands:
            self._strands[key] = self._fresh(key)
        self._key, self._strand = key, self._strands[key]

    def _fresh(self, key: Channel | int) -> Strand:
        if isinstance(key, Channel):
            return TextStrand(self._guards, self._number, key, self._guards.open())
        return CallStrand(self._guards, self._number, key)

    def _judged(self, passed: Passed, usage: Usage) -> Passed:
        self.verdict = self._strand.verdict
        if self.verdict.action is Action.ALLOW:
            return passed
        self.ended = True
        return (*passed, Finish(FinishReason.CONTENT_FILTER, usage, self._number))
