"""The long lane in one step: the fairest turn first, and pages chunk by chunk."""

from collections.abc import Iterator

from serve_app.engine.grants import Grants
from serve_app.engine.roster import Roster
from serve_app.engine.sequence import Lane, Sequence, Status


class Documents:
    """Gives their prompts what it is told to, as far as pages and places go."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._limits = roster.limits
        self._line = roster.lines[Lane.LONG]
        self._pages = roster.pages

    def any_to_read(self, grants: Grants) -> bool:
        """Whether any has more to read than the step gives."""
        return bool(self._line) or any(_reads(one, grants) for one in grants.prompts)

    def feed(self, grants: Grants, most: int, *, at_leisure: bool = False) -> None:
        """Let documents compute up to `most` tokens together; whoever does has rested."""
        fed, most = 0, min(most, grants.left)
        while fed < most:
            given = next(filter(None, self._move(grants, most - fed, at_leisure=at_leisure)), 0)
            if not given:
                break
            fed += given
        if fed:
            self._roster.rested = 0

    def _move(self, grants: Grants, most: int, *, at_leisure: bool) -> Iterator[int]:
        """Give to one document after the other what its pages allow."""
        moving = [one for one in grants.prompts if _reads(one, grants)]
        head = self._line.head()
        if head and self._roster.has_place and (at_leisure or self._spares_a_place(moving)):
            moving.append(head)
        for sequence in sorted(moving, key=_turn):
            if sequence.status is Status.RUNNING or self._begin(sequence, grants):
                room = self._pages.room(sequence) - grants.end(sequence)
                yield grants.give(sequence, min(most, room))

    def _spares_a_place(self, moving: list[Sequence]) -> bool:
        """While chats wait, documents begin one by one and take half the places at most."""
        return not self._roster.lines[Lane.SHORT] or (
            not moving and 2 * len(self._running()) < self._limits.max_running
        )

    def _begin(self, sequence: Sequence, grants: Grants) -> bool:
        if sequence.tried == self._pages.returns:
            return False
        found = self._pages.find(sequence)
        if not self._fits_whole(sequence) or not self._pages.blocks.can_take(1, found.pages):
            sequence.tried = self._pages.returns
            return False
        grants.begin(sequence, found, 0)
        return True

    def _fits_whole(self, sequence: Sequence) -> bool:
        """Whether all its tokens fit beside those that began and what is kept for chats.

        A document that is alone may begin in any case, be it as long as the cache.
        """
        limits = self._limits
        others = sum(limits.pages_for(len(one.tokens)) for one in self._running())
        whole = limits.pages_for(len(sequence.tokens))
        return not others or others + whole <= limits.pages - limits.reserve

    def _running(self) -> list[Sequence]:
        return [one for one in self._roster.running if one.lane is Lane.LONG]


def _reads(sequence: Sequence, grants: Grants) -> bool:
    return sequence.lane is Lane.LONG and sequence.pending > 1 and grants.pending(sequence) > 0


def _turn(sequence: Sequence) -> tuple[float, int, int]:
    return sequence.spent, sequence.priority, sequence.arrival
