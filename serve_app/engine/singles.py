"""Sequences one token behind: they answer, or are at the end of their prompt."""

from serve_app.engine.batch import Row
from serve_app.engine.roster import Roster
from serve_app.engine.sequence import Lane, Sequence, Status


class Singles:
    """Finds pages for the next token of each."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._pages = roster.pages

    def ready(self) -> list[Sequence]:
        """Those that have a page for their token; others may have to make room.

        Whose last token is awaited has no other to come.
        """
        size = self._roster.limits.page_tokens
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
        lead = sequence.spent - self._roster.lines[sequence.lane].clock
        return answers, lead, sequence.priority, sequence.arrival


def charged(singles: list[Sequence]) -> list[Row]:
    """Their rows; each token is billed the first time it is computed."""
    rows = []
    for sequence in singles:
        at = sequence.computed
        if at >= sequence.billed:
            sequence.charge(at + 1)
        rows.append(Row(sequence, at, 1, True, sequence.pages))
    return rows
