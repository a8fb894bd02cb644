"""One answer under way: what its sequences draw becomes what its reader gets."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.engine.branch import Branch
from serve_app.engine.dialects import Arguments, CallOpened, Piece, Text
from serve_app.engine.draws import Chances
from serve_app.engine.outbox import Outbox
from serve_app.engine.sequence import FINISH_REASONS, Sequence, Status
from serve_app.messages import (
    Chance,
    Channel,
    CompletionRequest,
    Delta,
    Echo,
    Event,
    Finish,
    FinishReason,
    Request,
    Spelt,
    TokenChances,
    ToolDelta,
    Usage,
)


class Speller(Protocol):
    """What tokens stand for."""

    def token_bytes(self, token: int) -> bytes: ...

    def control(self, token: int) -> str:
        """How a control token is written; nothing for others."""
        ...

    def spell(self, ids: Iterable[int]) -> str: ...


class Answer:
    """The n choices of one request, and the reader they share; its engine's lock guards it."""

    def __init__(
        self,
        branches: Many[Branch],
        outbox: Outbox,
        speller: Speller,
        clock: Callable[[], float],
        echo: "PromptEcho | None" = None,
    ) -> None:
        self.branches = branches
        self._clock = clock
        self._came = clock()
        self.outbox = outbox
        self.loop = asyncio.get_running_loop()
        self._speller = speller
        self._echo = echo
        self._is_silent = echo is not None and echo.is_all
        self._tells_tokens = echo is not None and echo.tells_tokens
        self._reasoning_tokens = 0

    @property
    def usage(self) -> Usage:
        leader = self.branches[0].sequence
        drawn = sum(branch.sequence.completion_tokens for branch in self.branches)
        drawn = 0 if self._is_silent else drawn
        return Usage(leader.prompt_tokens, drawn, leader.cached, self._reasoning_tokens)

    def read_prompt(self, start: int, chances: Iterable[Chances]) -> None:
        """Note the chances of the prompt's tokens that follow `start`."""
        if self._echo:
            tokens = self.branches[0].sequence.tokens
            for place, its in enumerate(chances, start + 1):
                self._echo.chances[place] = self._spelled(tokens[place], its)

    def can_wait(self, branch: Branch, now: float) -> bool:
        """Whether what a branch drew may be read later, with what it draws next."""
        return (
            branch.patient
            and now < self.outbox.due
            and branch.sequence.status is Status.RUNNING
            and branch.spoke is not None
        )

    def drew(self, branch: Branch, chances: Chances | None) -> list[Event]:
        """Say what a branch's last tokens brought: text, calls, an end, all or nothing yet."""
        sequence = branch.sequence
        branch.spoke = branch.spoke or self._clock()
        events = self._begin() if self._echo else []
        if self._is_silent:
            return [*events, self._finish(branch, FinishReason.LENGTH)]
        if chances:
            place = sequence.completion_tokens - 1
            branch.unshown[place] = self._spelled(sequence.tokens[-1], chances)
        pieces = branch.take()
        _follow_grammar(sequence)
        reason = _reason(branch)
        if reason:
            pieces += branch.transcript.close()
        events += self._events(branch, pieces)
        if reason:
            if rest := branch.rest():
                events.append(Delta("", self.usage, branch.number, chances=rest))
            events.append(self._finish(branch, reason))
        return events

    def rest(self) -> list[Event]:
        """Say what has been drawn and was held back, for the answer goes no further for now."""
        unread = [one for one in self.branches if one.read < len(one.sequence.tokens)]
        return [event for one in unread for event in self._events(one, one.take())]

    def _finish(self, branch: Branch, reason: FinishReason) -> Finish:
        branch.ended = True
        times = branch.times(self._came, self._clock())
        spelt = self._spelt(branch.sequence) if self._tells_tokens else None
        stopped_by = branch.stopped_by if reason is FinishReason.STOP else None
        return Finish(reason, self.usage, branch.number, times, spelt, stopped_by)

    def _spelt(self, sequence: Sequence) -> Spelt:
        tokens = () if self._is_silent else tuple(sequence.tokens[sequence.prompt_tokens :])
        return Spelt(tokens, self._speller.spell(tokens))

    def _begin(self) -> list[Event]:
        prompt, self._echo = self._echo, None
        if not prompt:
            return []
        leader = self.branches[0].sequence
        tokens = tuple(leader.tokens[: leader.prompt_tokens])
        text = self._speller.spell(tokens) if prompt.is_shown else ""
        places = range(len(tokens)) if prompt.is_probable else ()
        chances = tuple(prompt.chances.get(place) for place in places)
        return [Echo(text, chances, tokens)]

    def _events(self, branch: Branch, pieces: Iterable[Piece]) -> Iterator[Event]:
        for piece in pieces:
            if isinstance(piece, Text):
                yield self._delta(branch, piece)
            elif isinstance(piece, Arguments):
                yield ToolDelta(piece.call, piece.text, self.usage, branch.number)
            else:
                yield _opening(piece, self.usage, branch.number)

    def _delta(self, branch: Branch, piece: Text) -> Delta:
        if piece.channel is Channel.REASONING:
            self._reasoning_tokens += len(piece.places)
        chances = branch.chances_of(piece) if branch.unshown else ()
        return Delta(piece.text, self.usage, branch.number, piece.channel, chances)

    def _spelled(self, token: int, chances: Chances) -> TokenChances:
        top = (self._chance(*other, rank) for rank, other in enumerate(chances.top, 1))
        return TokenChances(self._chance(token, chances.logprob, chances.rank), tuple(top))

    def _chance(self, token: int, logprob: float, rank: int | None = None) -> Chance:
        text = self._speller.token_bytes(token)
        return Chance(token, text, logprob, rank, "" if text else self._speller.control(token))


@dataclass(slots=True)
class PromptEcho:
    """A prompt that goes back with its answer."""

    is_shown: bool
    is_probable: bool  # whether the chances of its tokens go along
    is_all: bool  # whether nothing follows it
    tells_tokens: bool  # whether the ids of the answer follow
    chances: dict[int, TokenChances] = field(default_factory=dict)  # by place, from 1


def prompt_of(request: Request) -> PromptEcho | None:
    """What goes back of a request's prompt; None: nothing."""
    is_shown = isinstance(request, CompletionRequest) and request.echo
    is_probable = request.sampling.prompt_logprobs is not None
    is_all = request.sampling.max_tokens == 0
    wishes = (is_shown, is_probable, is_all, request.handling.tells_tokens)
    return PromptEcho(*wishes) if any(wishes) else None


def _opening(piece: CallOpened, usage: Usage, choice: int) -> ToolDelta:
    return ToolDelta(piece.call, "", usage, choice, piece.id, piece.name)


def _follow_grammar(sequence: Sequence) -> None:
    """An end token is none of the grammar's; one that `max_tokens` cuts off may complete it."""
    if sequence.matcher and sequence.status is not Status.STOPPED:
        sequence.matcher.accept(sequence.tokens[-1])


def _reason(branch: Branch) -> FinishReason | None:
    """Why a choice ends here; a stop string counts even with the last token allowed."""
    sequence = branch.sequence
    said_all = bool(sequence.matcher) and sequence.matcher.finished
    if branch.transcript.stopped or said_all or sequence.status is Status.STOPPED:
        return FinishReason.TOOL_CALLS if branch.transcript.calls else FinishReason.STOP
    return FINISH_REASONS.get(branch.sequence.status)
