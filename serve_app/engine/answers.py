"""The answers under way, and the scheduler that gives them their turns; one lock guards both.

What a token says is read when its reader is due to hear it, with all that came before it: reading
many at once costs little more than reading one.
"""

import threading
from collections.abc import Callable, Iterable, Iterator

from serve_app.engine.answer import Answer
from serve_app.engine.batch import Batch
from serve_app.engine.branch import Branch
from serve_app.engine.draws import Chances, Draws
from serve_app.engine.parcels import Parcel
from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Sequence, Status
from serve_app.errors import (
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    NotReady,
    ServeAppError,
)
from serve_app.messages import EngineStats, Queued
from serve_app.telemetry import log


class Answers:
    """Opened and left by readers, planned and booked by the engine's thread."""

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._known: dict[Sequence, tuple[Answer, Branch]] = {}
        self._preemptions = 0  # seen
        self._changed = threading.Condition()  # guards all of this
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._known)

    def open(self, answer: Answer) -> Queued | None:
        """Let an answer wait for its turn; return its place. Raises Overloaded or NotReady."""
        with self._changed:
            if self.is_closed:
                raise NotReady("The engine is not running.")
            leader = answer.branches[0].sequence
            self._scheduler.add(leader)
            self._known.update((branch.sequence, (answer, branch)) for branch in answer.branches)
            self._changed.notify()
            return self._scheduler.queued(leader)

    def leave(self, answer: Answer) -> None:
        """Forget an answer; pages of sequences that still run come back now."""
        with self._changed:
            self._drop(answer, Status.CANCELLED)

    def check_room(self) -> None:
        """Raise Overloaded if the line is full."""
        with self._changed:
            self._scheduler.check_room()

    def stats(self) -> EngineStats:
        with self._changed:
            return self._scheduler.stats()

    def close(self) -> None:
        """Open no more; who waits for work goes home."""
        with self._changed:
            self.is_closed = True
            self._changed.notify()

    def wait(self) -> None:
        """Sleep until there is work, or never will be."""
        with self._changed:
            self._changed.wait_for(lambda: self._known or self.is_closed)

    def plan(self) -> tuple[Batch, list[Parcel]]:
        """Decide the next step; who is too late to begin is told."""
        with self._changed:
            expired = self._scheduler.expire(self._clock())
            late = [parcel for one in expired for parcel in self._fail(one, _too_late())]
            batch = self._scheduler.schedule()
            self._note_begun(batch)
            return batch, late + self._interrupted()

    def book(self, batch: Batch, draws: Draws, seconds: float) -> list[Parcel]:
        """Book a step that took so long; return what it brought to each reader."""
        with self._changed:
            booked = self._scheduler.apply(batch, draws, seconds)
            self._note_prompts(batch, draws)
            return list(self._news(batch, draws, booked))

    def lose(self, batch: Batch) -> None:
        """A step failed; the pages it was to move are as good as not moved."""
        with self._changed:
            self._scheduler.lose(batch)

    def fail(self, sequence: Sequence) -> list[Parcel]:
        """The engine could not compute a sequence."""
        with self._changed:
            return self._fail(sequence, failure())

    def left(self) -> list[Answer]:
        """Whose end has not come."""
        with self._changed:
            return list(dict.fromkeys(answer for answer, _ in self._known.values()))

    def abandon(self, answers: Iterable[Answer]) -> None:
        """Take back their pages."""
        with self._changed:
            for answer in answers:
                self._drop(answer, Status.FAILED)

    def _drop(self, answer: Answer, status: Status) -> None:
        """The scheduler comes first: should it raise, `left` still finds the answer."""
        for branch in answer.branches:
            if branch.sequence in self._known:
                self._scheduler.finish(branch.sequence, status)
                del self._known[branch.sequence]

    def _note_begun(self, batch: Batch) -> None:
        """A preempted sequence begins again, but has waited once."""
        for sequence in batch.begun:
            _, branch = self._known[sequence]
            branch.began = branch.began or self._clock()

    def _note_prompts(self, batch: Batch, draws: Draws) -> None:
        for row in batch.rows if draws.prompt_chances else ():
            known = self._known.get(row.sequence)
            chances = draws.prompt_chances.get(row.sequence)
            if known and chances:
                known[0].read_prompt(row.start, chances)

    def _interrupted(self) -> list[Parcel]:
        """What those have said who were sent away and go on who knows when."""
        seen, self._preemptions = self._preemptions, self._scheduler.totals.preemptions
        if seen == self._preemptions:
            return []
        waiting = [
            answer
            for sequence, (answer, branch) in self._known.items()
            if sequence.status is Status.WAITING and branch.spoke
        ]
        return [parcel for answer in dict.fromkeys(waiting) for parcel in self._unread(answer)]

    def _news(self, batch: Batch, draws: Draws, booked: Iterable[int]) -> Iterator[Parcel]:
        rows, now = batch.drawing, self._clock()
        for place in booked:
            sequence = rows[place].sequence
            known = self._known.get(sequence)
            if known is None or (not draws.more and known[0].can_wait(known[1], now)):
                continue
            if sequence.status is Status.FAILED:
                yield from self._fail(sequence, _fault(sequence))
            else:
                yield from self._report(*known, draws.chances.get(place))
                yield from self._follow(sequence, draws.more.get(place, ()))

    def _follow(self, sequence: Sequence, tokens: Iterable[int]) -> Iterator[Parcel]:
        """Tokens that a draft led to, as far as the answer goes."""
        for token in tokens:
            known = self._known.get(sequence)
            if known is None or sequence.finished:
                return
            self._scheduler.follow(sequence, token)
            yield from self._report(*known, None)

    def _report(self, answer: Answer, branch: Branch, chances: Chances | None) -> list[Parcel]:
        """A choice that cannot be told, or breaks its grammar, fails for itself alone."""
        try:
            events = answer.drew(branch, chances)
        except Exception:  # noqa: BLE001 - whatever it was, the others' answers are sound
            log().error("choice_failed", exc_info=True)
            self._drop(answer, Status.FAILED)
            return [(answer, failure())]
        if branch.ended:
            self._scheduler.finish(branch.sequence, Status.STOPPED)
            del self._known[branch.sequence]
        return [(answer, event) for event in events]

    def _fail(self, sequence: Sequence, error: ServeAppError) -> list[Parcel]:
        """One choice that fails takes its whole request with it, and no other."""
        known = self._known.get(sequence)
        if known is None:
            return []
        said = self._unread(known[0])
        self._drop(known[0], Status.FAILED)
        return [*said, (known[0], error)]

    def _unread(self, answer: Answer) -> list[Parcel]:
        """What was drawn and not told yet, unless it cannot be told."""
        try:
            return [(answer, event) for event in answer.rest()]
        except Exception:  # noqa: BLE001 - as above
            log().error("choice_failed", exc_info=True)
            return []


def failure() -> EngineFailed:
    """What a reader is told whose answer could not be computed."""
    return EngineFailed("The engine failed while it worked on this request.")


def _fault(sequence: Sequence) -> ServeAppError:
    """Why no token could be drawn."""
    if sequence.matcher is not None and sequence.matcher.is_lost:
        return InvalidRequest(
            "The pattern or schema is too complex to be followed to the end of an answer; send a"
            " simpler one, with smaller counts of repetition."
        )
    if sequence.choice.banned or sequence.choice.allowed:
        return InvalidRequest(
            "What 'bad_words' forbid and 'allowed_token_ids' leave out is all that could come"
            " next; forbid less.",
            "bad_words" if sequence.choice.banned else "allowed_token_ids",
        )
    return failure()


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request waited past its deadline; nothing was computed for it.")
