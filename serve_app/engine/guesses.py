"""Guesses that a step checks beside its single tokens, where there is room for them."""

from serve_app.engine.batch import Row
from serve_app.engine.roster import Roster

_LINES = 64  # tokens of a step up to which a guess costs little


class Guesses:
    """Lets sequences guess what follows, within what they have pages for."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._pages = roster.pages

    def add_to(self, rows: list[Row], most: int) -> None:
        """Let rows of single tokens draft up to `most` together.

        Not beside rows that are drawn by the host, which takes its time for each.
        """
        guessing = [row for row in rows if row.sequence.drafts]
        if not guessing or any(row.sequence.by_host for row in rows):
            return
        if not self._roster.trust.allows():
            return
        room = min(_LINES - len(rows), most)
        for row in guessing:
            row.draft = self._guess(row, min(room, self._roster.limits.draft_tokens))
            room -= len(row.draft)

    def _guess(self, row: Row, most: int) -> tuple[int, ...]:
        """A guess that its sequence has pages for, and whose tokens it may still say."""
        sequence, at = row.sequence, row.start + 1
        room = min(most, sequence.most_tokens - at - 1, self._pages.room(sequence) - at)
        if room <= 0 or sequence.drafts is None:
            return ()
        draft = sequence.drafts.propose(sequence.tokens, sequence.awaited, room)
        self._pages.grow(sequence, self._pages.lacking(sequence, at + len(draft)))
        return draft
