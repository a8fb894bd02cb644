"""One step: whose turn it is, and for how many tokens.

Single tokens go first, whatever lane they are in. Then the short lane gets all it can use. In a
step that reads prompts of chats documents rest: whoever came during a document's step has then
waited for that one alone. When chats have read as many tokens as a step takes, and no document has
moved, documents go first in a step, with up to half of it. So a chat waits for one document's step
at most, and a document always moves. Documents take pages chunk by chunk, chats all of theirs at
once.
"""

from collections.abc import Iterator

from serve_app.engine.batch import Batch, Row
from serve_app.engine.moves import Moves, Recall
from serve_app.engine.pages import Found
from serve_app.engine.roster import Roster
from serve_app.engine.sequence import Lane, Sequence, Status

_LINES = 64  # tokens of a step up to which a guess costs little

Copies = tuple[tuple[int, int], ...]


class Turns:
    """The plan of one step; thrown away when it is made."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._limits = roster.limits
        self._pages = roster.pages
        self._short, self._long = roster.lines[Lane.SHORT], roster.lines[Lane.LONG]
        self._left = roster.limits.step_tokens
        self._decodes: list[Row] = []
        self._prefills: list[Sequence] = []  # under way when the step began
        self._grants: dict[Sequence, int] = {}  # tokens of prompts
        self._copies: list[tuple[int, int]] = []
        self._begun: list[Sequence] = []
        self._loads: list[tuple[int, int]] = []  # slots of the host, and pages for them
        self._recalls: list[Recall] = []
        self._rests = False

    def plan(self) -> Batch:
        """Take the pages that the step needs, and charge its tokens."""
        self._decode(self._singles())
        if self._prefills or self._short or self._long:
            self._feed()
            self._recall()
        return self._batch()

    def _singles(self) -> list[Sequence]:
        """Running sequences one token behind, with a page for it; others may have to make room.

        Whose last token is awaited has no other to come.
        """
        size = self._limits.page_tokens
        ready = [
            one
            for one in self._roster.running
            if (known := len(one.tokens) + one.awaited) - one.computed == 1
            and known < one.most_tokens
        ]
        lacking = [one for one in ready if one.computed >= len(one.pages) * size]
        if not lacking:
            return ready
        for sequence in sorted(lacking, key=self._rank):
            self._make_room(sequence)
        return [one for one in ready if one.status is Status.RUNNING]

    def _make_room(self, sequence: Sequence) -> None:
        """Take a page for the next token, from whoever ranks last if none is left."""
        while sequence.status is Status.RUNNING:
            if self._pages.blocks.can_take(1):
                self._pages.grow(sequence, 1)
                return
            self._roster.preempt(max(self._roster.running, key=self._rank))

    def _rank(self, sequence: Sequence) -> tuple[bool, float, int, int]:
        """Who keeps pages when they run out, first to last.

        Half-read documents lose most by stopping. Then a tenant's lead over its line's clock
        decides, then priority, then age. The first of the rank always goes on, so work ends.
        """
        answers = sequence.lane is Lane.SHORT or sequence.pending == 1
        lead = _spent(sequence) - self._roster.lines[sequence.lane].clock
        return answers, lead, sequence.priority, sequence.arrival

    def _decode(self, singles: list[Sequence]) -> None:
        running = self._roster.running
        if len(singles) < len(running):
            self._prefills = [one for one in running if one.pending > 1]
        if self._long or any(one.lane is Lane.LONG for one in self._prefills):
            singles = singles[: self._left - self._limits.floor]
        del singles[self._left :]
        self._left -= len(singles)
        for sequence in singles:
            at = sequence.computed
            if at >= sequence.billed:
                _charge(sequence, at + 1)
            self._decodes.append(Row(sequence, at, 1, True, sequence.pages))

    def _feed(self) -> None:
        """Share out what is left among prompts."""
        limits, roster = self._limits, self._roster
        if roster.rested >= limits.rest and self._chats_read:
            self._feed_documents(limits.turn)
        self._feed_short()
        chats = sum(count for one, count in self._grants.items() if one.lane is Lane.SHORT)
        if not self._grants and self._chats_lack_pages:
            self._feed_documents(limits.floor)
        elif chats and self._documents_wait:
            self._rests = True
            roster.rested += chats
        if not self._grants:
            self._feed_documents(limits.long_step_tokens, at_leisure=True)

    def _feed_short(self) -> None:
        """Prompts under way, then newcomers while there are places and pages."""
        for sequence in self._prefills:
            if sequence.lane is Lane.SHORT:
                self._grant(sequence, self._left)
        while self._left and (newcomer := self._next_short()) is not None:
            self._grant(newcomer, self._left)

    def _feed_documents(self, most: int, *, at_leisure: bool = False) -> None:
        if self._feed_long(min(most, self._left), at_leisure=at_leisure):
            self._roster.rested = 0

    @property
    def _chats_read(self) -> bool:
        return bool(self._short) or any(one.lane is Lane.SHORT for one in self._prefills)

    @property
    def _documents_wait(self) -> bool:
        return bool(self._long) or any(self._reads(one) for one in self._roster.running)

    @property
    def _chats_lack_pages(self) -> bool:
        head = self._short.head()
        return head is not None and head.tried == self._pages.returns

    def _next_short(self) -> Sequence | None:
        """Start whose turn it is; if there is no room for it, nobody passes it."""
        while self._has_place and (head := self._short.head()) is not None:
            if head.tried == self._pages.returns:
                return None
            if head.leader and _has_prompt(head.leader):
                return self._start_fork(head, head.leader)
            found = self._pages.find(head)
            load = self._pages.load(head, found)
            if load <= self._limits.long_prompt_tokens:
                return self._start_short(head, found)
            self._roster.weigh_again(head, load)
        return None

    def _start_short(self, sequence: Sequence, found: Found) -> Sequence | None:
        fresh = self._limits.pages_for(len(sequence.tokens)) - len(found.pages)
        if not self._pages.blocks.can_take(fresh, found.pages):
            sequence.tried = self._pages.returns
            return None
        self._roster.start(sequence, found, fresh)
        self._begun.append(sequence)
        return sequence

    def _start_fork(self, fork: Sequence, leader: Sequence) -> Sequence | None:
        if not self._pages.blocks.can_take(1):
            fork.tried = self._pages.returns
            return None
        self._copies += self._roster.start_fork(fork, leader)
        self._begun.append(fork)
        return fork

    def _feed_long(self, most: int, *, at_leisure: bool) -> int:
        """Let documents compute up to `most` tokens together, the fairest turn first."""
        fed = 0
        while fed < most:
            granted = next(filter(None, self._move_long(most - fed, at_leisure=at_leisure)), 0)
            if not granted:
                break
            fed += granted
        return fed

    def _move_long(self, most: int, *, at_leisure: bool) -> Iterator[int]:
        """Grant to one document after the other what its pages allow."""
        moving = [one for one in self._roster.running if self._reads(one)]
        head = self._long.head()
        if head and self._has_place and (at_leisure or self._spares_a_place(moving)):
            moving.append(head)
        for sequence in sorted(moving, key=_turn):
            if sequence.status is Status.RUNNING or self._start_long(sequence):
                yield self._grant(sequence, min(most, self._allowed(sequence)))

    def _reads(self, sequence: Sequence) -> bool:
        if sequence.lane is not Lane.LONG or sequence.pending == 1:
            return False
        return sequence.pending > self._grants.get(sequence, 0)

    def _spares_a_place(self, moving: list[Sequence]) -> bool:
        """While chats wait, documents begin one by one and take half the places at most."""
        return not self._short or (
            not moving and 2 * len(self._documents()) < self._limits.max_running
        )

    def _start_long(self, sequence: Sequence) -> bool:
        if sequence.tried == self._pages.returns:
            return False
        found = self._pages.find(sequence)
        if not self._fits_whole(sequence) or not self._pages.blocks.can_take(1, found.pages):
            sequence.tried = self._pages.returns
            return False
        self._roster.start(sequence, found, 0)
        self._begun.append(sequence)
        return True

    def _fits_whole(self, sequence: Sequence) -> bool:
        """Whether all its tokens fit beside those that began and what is kept for chats.

        A document that is alone may begin in any case, be it as long as the cache.
        """
        limits = self._limits
        others = sum(limits.pages_for(len(one.tokens)) for one in self._documents())
        whole = limits.pages_for(len(sequence.tokens))
        return not others or others + whole <= limits.pages - limits.reserve

    def _allowed(self, sequence: Sequence) -> int:
        """Tokens for which a document has or may take pages."""
        pages = len(sequence.pages) + self._pages.blocks.available
        tokens = pages * self._limits.page_tokens
        return tokens - sequence.computed - self._grants.get(sequence, 0)

    def _documents(self) -> list[Sequence]:
        return [one for one in self._roster.running if one.lane is Lane.LONG]

    @property
    def _has_place(self) -> bool:
        return len(self._roster.running) < self._limits.max_running

    def _grant(self, sequence: Sequence, most: int) -> int:
        """Let a prompt compute up to `most` more tokens; return how many it can use."""
        granted = self._grants.get(sequence, 0)
        count = min(most, self._left, sequence.pending - granted)
        if count <= 0 or sequence.away:
            return 0
        end = sequence.computed + granted + count
        self._pages.grow(sequence, self._pages.lacking(sequence, end))
        _charge(sequence, end)
        self._grants[sequence] = granted + count
        self._left -= count
        return count

    def _recall(self) -> None:
        """Let pages come back from the host, a step's worth; whose they are computes later."""
        left = self._limits.recalled
        for sequence in (*self._prefills, *self._begun):
            if left and sequence.away:
                loads = self._pages.recall(sequence, left)
                left -= len(loads)
                self._loads += loads
                self._recalls.append(Recall(sequence, sequence.pages, sequence.computed))

    def _draft(self) -> None:
        """Let sequences guess what follows, where there is room beside the single tokens.

        Not beside rows that are drawn by the host, which takes its time for each.
        """
        guessing = [row for row in self._decodes if row.sequence.drafts]
        room = min(_LINES - len(self._decodes), self._left)
        if not guessing or any(row.sequence.by_host for row in self._decodes):
            return
        if not self._roster.trust.allows():
            return
        for row in guessing:
            row.draft = self._guess(row, min(room, self._limits.draft_tokens))
            room -= len(row.draft)

    def _guess(self, row: Row, most: int) -> tuple[int, ...]:
        """A guess that its sequence has pages for, and whose tokens it may still say."""
        sequence, at = row.sequence, row.start + 1
        pages = len(sequence.pages) + self._pages.blocks.available
        room = min(most, sequence.most_tokens - at - 1, pages * self._limits.page_tokens - at)
        if room <= 0 or sequence.drafts is None:
            return ()
        draft = sequence.drafts.propose(sequence.tokens, sequence.awaited, room)
        self._pages.grow(sequence, self._pages.lacking(sequence, at + len(draft)))
        return draft

    def _batch(self) -> Batch:
        prompts = [
            Row(one, one.computed, count, count == one.pending, one.pages)
            for one, count in self._grants.items()
        ]
        if not prompts:
            self._draft()
        batch = Batch(
            decodes=(*self._decodes, *(row for row in prompts if row.count == 1)),
            chunks=tuple([row for row in prompts if row.count > 1]),
            copies=tuple(self._copies),
            begun=tuple(self._begun),
            moves=Moves(self._pages.host.planned(), tuple(self._loads)),
            recalls=tuple(self._recalls),
            rests=self._rests,
        )
        _expect(batch)
        return batch


def _expect(batch: Batch) -> None:
    """From now on the step counts as computed, though its tokens are not known."""
    for row in batch.rows:
        row.sequence.computed = row.start + row.count
    for row in batch.drawing:
        row.sequence.awaited += 1


def _has_prompt(leader: Sequence) -> bool:
    return leader.status is Status.RUNNING and leader.computed >= leader.prompt_tokens


def _turn(sequence: Sequence) -> tuple[float, int, int]:
    return _spent(sequence), sequence.priority, sequence.arrival


def _spent(sequence: Sequence) -> float:
    return sequence.account.spent if sequence.account else 0.0


def _charge(sequence: Sequence, end: int) -> None:
    """Bill a sequence's tokens up to `end`; what was billed before is free."""
    if sequence.account and end > sequence.billed:
        sequence.account.charge(end - sequence.billed)
        sequence.billed = end
