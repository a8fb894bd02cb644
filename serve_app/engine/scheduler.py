"""Who computes in the next step, who waits, and for how long.

One step is `schedule()`, a forward pass over the batch elsewhere, and `apply()`. The next step may
be scheduled before the last one is applied: tokens that are only awaited then count as known. Pure
Python, one owner: whoever shares a scheduler between threads brings the lock.
"""

from math import inf

from serve_app.engine.batch import Batch, Row
from serve_app.engine.blocks import Blocks
from serve_app.engine.draws import Draws
from serve_app.engine.forecast import Forecast
from serve_app.engine.limits import Limits
from serve_app.engine.outlook import Outlook
from serve_app.engine.roster import Roster, Totals
from serve_app.engine.sequence import Lane, Sequence, Status
from serve_app.engine.turns import Turns
from serve_app.errors import Overloaded
from serve_app.messages import EngineStats, Queued

_FRESH_STEPS = 16  # for so long an answer to "when is there room" is true enough to tell again

__all__ = ["Batch", "Limits", "Row", "Scheduler"]


class Scheduler:
    """Owns the lines, the running sequences and their pages."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.forecast = Forecast()
        self._roster = Roster(limits)
        self._turns = Turns(self._roster)
        self._outlook = Outlook(self._roster, self.forecast)
        self._next_deadline = inf

    @property
    def blocks(self) -> Blocks:
        return self._roster.pages.blocks

    @property
    def running(self) -> list[Sequence]:
        """In the order in which they began."""
        return self._roster.running

    @property
    def waiting(self) -> list[Sequence]:
        return list(self._roster.waiting)

    @property
    def totals(self) -> Totals:
        return self._roster.totals

    def add(self, sequence: Sequence) -> None:
        """Let a sequence and its forks wait; all of them or none.

        Raises Overloaded if the line is full, ValueError if it could never fit the cache.
        """
        longest = len(sequence.tokens) + sequence.max_tokens - 1  # the last is never computed
        if self.limits.pages_for(longest) > self.limits.pages:
            raise ValueError("The sequence is longer than the whole KV cache.")
        load = self._roster.load(sequence)
        self.check_room(1 + len(sequence.forks), load + len(sequence.forks))
        self._roster.add(sequence, load)
        if sequence.deadline is not None:
            self._next_deadline = min(self._next_deadline, sequence.deadline)

    def check_room(self, sequences: int = 1, tokens: int = 1) -> None:
        """Raise Overloaded unless so much more may wait; who waits alone always may."""
        waiting, limits = self._roster.waiting, self.limits
        too_many = len(waiting) + sequences - limits.max_waiting
        too_long = self._roster.waiting_tokens + tokens - limits.max_waiting_tokens
        if waiting and (too_many > 0 or too_long > 0):
            raise Overloaded(
                "Too many requests are waiting. Try again after the time in Retry-After.",
                self._outlook.room_s(too_many, too_long),
            )

    def queued(self, sequence: Sequence) -> Queued | None:
        """Where a sequence stands in its line and when it begins; None: it has begun."""
        return self._outlook.queued(sequence)

    def expire(self, now: float) -> list[Sequence]:
        """End what has not begun by its deadline, and say what it was; call before `schedule`.

        What has begun is never cut, be it preempted or a fork of what has begun.
        """
        if now < self._next_deadline:
            return []
        due = {one: one.deadline for one in self._roster.waiting if one.deadline is not None}
        expired = [one for one, deadline in due.items() if deadline <= now]
        later = (deadline for deadline in due.values() if deadline > now)
        self._next_deadline = min(later, default=inf)
        for sequence in reversed(expired):  # forks before those that lead them
            self._roster.end(sequence, Status.EXPIRED)
        self.totals.expired += len(expired)
        return expired

    def schedule(self) -> Batch:
        """Decide the next step and take the pages it needs."""
        return self._turns.plan()

    def apply(self, batch: Batch, draws: Draws, seconds: float = 0.0) -> list[int]:
        """Book a computed step that took so long; 0: not measured. First planned, first booked.

        Returns the places in `batch.drawing` that were booked: sequences that ended or were sent
        away while the step ran are passed over.
        """
        for row in batch.rows:
            if not row.draws and row.is_held:
                self._settle(row)
        if batch.is_drafted:
            self._judge(batch, draws)
        self._note_moved(batch)
        booked = []
        for place, (row, token) in enumerate(zip(batch.drawing, draws.tokens, strict=True)):
            if row.sequence.pages is row.pages:  # is_held; written out for every token
                self._book(row, token)
                booked.append(place)
        if batch.rows:
            self.totals.note_step(sum(row.count for row in batch.rows))
        if self.totals.steps % _FRESH_STEPS == 0:
            self._outlook.forget()
        if seconds and batch.rows:
            self._learn(batch, seconds)
        return booked

    def lose(self, batch: Batch) -> None:
        """A step failed, perhaps before it moved its pages: who was to get some computes them."""
        host, size = self._roster.pages.host, self.limits.page_tokens
        host.lost(slot for _, slot in batch.moves.stores)
        host.distrust(slot for slot, _ in batch.moves.loads)
        host.done(slot for slot, _ in batch.moves.loads)
        for recall in batch.recalls:
            if recall.is_held:
                recall.sequence.cached = recall.sequence.committed * size
                self._roster.preempt(recall.sequence)

    def follow(self, sequence: Sequence, token: int) -> None:
        """Book one more token of a step that was applied: a draft led to it."""
        sequence.computed += 1
        self._append(sequence, token)

    def finish(self, sequence: Sequence, status: Status) -> None:
        """End a sequence and give its pages back; safe to call again."""
        if sequence.finished:
            return
        if status in {Status.STOPPED, Status.CANCELLED} and sequence.status is Status.RUNNING:
            self.forecast.stopped()
        self._roster.end(sequence, status)

    def stats(self) -> EngineStats:
        roster, totals = self._roster, self.totals
        return EngineStats(
            running=len(roster.running),
            waiting=len(roster.waiting),
            free_pages=self.blocks.available,
            total_pages=self.blocks.total,
            prefix_cache_queried_tokens=totals.cache_queried_tokens,
            prefix_cache_hit_tokens=totals.cache_hit_tokens,
            host_queried_tokens=totals.host_queried_tokens,
            host_hit_tokens=totals.host_hit_tokens,
            host_stored_tokens=roster.pages.host.stored * self.limits.page_tokens,
            host_used_pages=roster.pages.host.used,
            host_pages=roster.pages.host.total,
            prompt_tokens=totals.prompt_tokens,
            generation_tokens=totals.generation_tokens,
            preemptions=totals.preemptions,
            waiting_tokens=roster.waiting_tokens,
            expired=totals.expired,
            steps=totals.steps,
            step_tokens=totals.step_tokens,
            steps_by_size=tuple(sorted(totals.steps_by_size.items())),
            lanes=self._outlook.lanes(),
        )

    def _note_moved(self, batch: Batch) -> None:
        """Let pages be found where they were brought."""
        pages = self._roster.pages
        pages.host.arrived(slot for _, slot in batch.moves.stores)
        pages.host.done(slot for slot, _ in batch.moves.loads)
        for recall in batch.recalls:
            if recall.is_held:
                pages.commit(recall.sequence, recall.end)

    def _settle(self, row: Row) -> None:
        """Let what a row has computed be found and shared."""
        sequence, computed = row.sequence, row.start + row.count
        if computed >= (sequence.committed + 1) * self.limits.page_tokens:
            self._roster.pages.commit(sequence, computed)
        if sequence.forks and computed >= sequence.prompt_tokens:
            self._roster.release(sequence)

    def _book(self, row: Row, token: int | None) -> None:
        sequence = row.sequence
        if token is None:
            self.finish(sequence, Status.FAILED)
            return
        page_ends = (sequence.committed + 1) * self.limits.page_tokens
        if sequence.forks or row.start + row.count >= page_ends:
            self._settle(row)
        sequence.awaited -= 1
        self._append(sequence, token)

    def _judge(self, batch: Batch, draws: Draws) -> None:
        """Learn which guesses were right, each sequence for itself and all together."""
        right = {id(row): len(draws.more.get(at, ())) for at, row in enumerate(batch.drawing)}
        for row in batch.decodes:
            if row.draft and row.sequence.drafts:
                row.sequence.drafts.trust.judge(right[id(row)])
                self.totals.drafted += len(row.draft)
        self.totals.accepted += sum(right.values())
        self._roster.trust.judge(sum(right.values()))

    def _append(self, sequence: Sequence, token: int) -> None:
        sequence.tokens.append(token)
        self.totals.generation_tokens += 1
        if token in sequence.end_ids:
            self.finish(sequence, Status.STOPPED)
        elif len(sequence.tokens) >= sequence.most_tokens:
            self.finish(sequence, Status.EXHAUSTED)

    def _learn(self, batch: Batch, seconds: float) -> None:
        counts = dict.fromkeys(Lane, 0)
        for row in batch.chunks:
            counts[row.sequence.lane] += row.count
        self.forecast.step(
            short=counts[Lane.SHORT],
            long=counts[Lane.LONG],
            decoded=len(batch.decodes),
            seconds=seconds,
        )
