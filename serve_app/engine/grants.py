"""What one step gives to prompts: tokens to compute, and the pages for them."""

from serve_app.engine.batch import Row
from serve_app.engine.moves import Recall
from serve_app.engine.pages import Found
from serve_app.engine.roster import Roster
from serve_app.engine.sequence import Lane, Sequence


class Grants:
    """Made for one step; who begins in it is moved by the roster."""

    def __init__(self, roster: Roster, prompts: list[Sequence]) -> None:
        self.left = roster.limits.step_tokens
        self.prompts = prompts  # under way when the step began, then those that begin in it
        self.begun: list[Sequence] = []
        self.copies: list[tuple[int, int]] = []  # pages, from and to
        self.loads: list[tuple[int, int]] = []  # slots of the host, and pages for them
        self.recalls: list[Recall] = []
        self.rests = False  # whether documents stand back for chats
        self._roster = roster
        self._tokens: dict[Sequence, int] = {}

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def begin(self, sequence: Sequence, found: Found, fresh: int) -> None:
        """Let a sequence out of its line, behind what is found of it."""
        self._roster.start(sequence, found, fresh)
        self._note_begun(sequence)

    def begin_fork(self, fork: Sequence, leader: Sequence) -> None:
        self.copies += self._roster.start_fork(fork, leader)
        self._note_begun(fork)

    def give(self, sequence: Sequence, most: int) -> int:
        """Let a prompt compute up to `most` more tokens; return how many it can use."""
        count = min(most, self.left, self.pending(sequence))
        if count <= 0 or sequence.away:
            return 0
        end = self.end(sequence) + count
        pages = self._roster.pages
        pages.grow(sequence, pages.lacking(sequence, end))
        sequence.charge(end)
        self._tokens[sequence] = end - sequence.computed
        self.left -= count
        return count

    def recall(self) -> None:
        """Let pages come back from the host, a step's worth; whose they are computes later."""
        left = self._roster.limits.recalled
        for sequence in self.prompts:
            if left and sequence.away:
                loads = self._roster.pages.recall(sequence, left)
                left -= len(loads)
                self.loads += loads
                self.recalls.append(Recall(sequence, sequence.pages, sequence.computed))

    def end(self, sequence: Sequence) -> int:
        """Tokens that are computed once the step is done."""
        return sequence.computed + self._tokens.get(sequence, 0)

    def pending(self, sequence: Sequence) -> int:
        """Tokens of a prompt that the step leaves to others."""
        return sequence.pending - self._tokens.get(sequence, 0)

    def tokens_of(self, lane: Lane) -> int:
        return sum(count for one, count in self._tokens.items() if one.lane is lane)

    def rows(self) -> list[Row]:
        return [
            Row(one, one.computed, count, count == one.pending, one.pages)
            for one, count in self._tokens.items()
        ]

    def _note_begun(self, sequence: Sequence) -> None:
        self.begun.append(sequence)
        self.prompts.append(sequence)
