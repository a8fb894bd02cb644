"""The short lane in one step: prompts under way, then newcomers with all their pages at once."""

from serve_app.engine.grants import Grants
from serve_app.engine.pages import Found
from serve_app.engine.roster import Roster
from serve_app.engine.sequence import Lane, Sequence, Status


class Chats:
    """Gives their prompts all that they can use of a step."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._line = roster.lines[Lane.SHORT]
        self._pages = roster.pages

    def any_to_read(self, grants: Grants) -> bool:
        """Whether a prompt is under way or waits."""
        return bool(self._line) or any(one.lane is Lane.SHORT for one in grants.prompts)

    @property
    def lack_pages(self) -> bool:
        """Whether whose turn it is was tried, and no page has come back since."""
        head = self._line.head()
        return head is not None and head.tried == self._pages.returns

    def feed(self, grants: Grants) -> None:
        """Prompts under way, then newcomers while there are places and pages."""
        for sequence in grants.prompts:
            if sequence.lane is Lane.SHORT:
                grants.give(sequence, grants.left)
        while grants.left and (newcomer := self._next(grants)) is not None:
            grants.give(newcomer, grants.left)

    def _next(self, grants: Grants) -> Sequence | None:
        """Begin whose turn it is; if there is no room for it, nobody passes it."""
        while self._roster.has_place and (head := self._line.head()) is not None:
            if head.tried == self._pages.returns:
                return None
            if head.leader and _has_prompt(head.leader):
                return self._begin_fork(head, head.leader, grants)
            found = self._pages.find(head)
            load = self._pages.load(head, found)
            if load <= self._roster.limits.long_prompt_tokens:
                return self._begin(head, found, grants)
            self._roster.weigh_again(head, load)
        return None

    def _begin(self, sequence: Sequence, found: Found, grants: Grants) -> Sequence | None:
        fresh = self._roster.limits.pages_for(len(sequence.tokens)) - len(found.pages)
        if not self._pages.blocks.can_take(fresh, found.pages):
            sequence.tried = self._pages.returns
            return None
        grants.begin(sequence, found, fresh)
        return sequence

    def _begin_fork(self, fork: Sequence, leader: Sequence, grants: Grants) -> Sequence | None:
        if not self._pages.blocks.can_take(1):
            fork.tried = self._pages.returns
            return None
        grants.begin_fork(fork, leader)
        return fork


def _has_prompt(leader: Sequence) -> bool:
    return leader.status is Status.RUNNING and leader.computed >= leader.prompt_tokens
