"""One step: whose turn it is, and for how many tokens.

Single tokens go first, whatever lane they are in. Then the short lane gets all it can use. In a
step that reads prompts of chats documents rest: whoever came during a document's step has then
waited for that one alone. When chats have read as many tokens as a step takes, and no document has
moved, documents go first in a step, with up to half of it. So a chat waits for one document's step
at most, and a document always moves.
"""

from serve_app.engine.batch import Batch, Row
from serve_app.engine.chats import Chats
from serve_app.engine.documents import Documents
from serve_app.engine.grants import Grants
from serve_app.engine.guesses import Guesses
from serve_app.engine.moves import Moves
from serve_app.engine.roster import Roster
from serve_app.engine.sequence import Lane, Sequence
from serve_app.engine.singles import Singles, charged


class Turns:
    """Plans one step after the other; between them all is in the roster."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._limits = roster.limits
        self._singles = Singles(roster)
        self._guesses = Guesses(roster)
        self._chats = Chats(roster)
        self._documents = Documents(roster)

    def plan(self) -> Batch:
        """Take the pages that the step needs, and charge its tokens."""
        ready = self._singles.ready()
        grants = Grants(self._roster, self._prompts(ready))
        decodes = self._decode(ready, grants)
        if grants.prompts or any(self._roster.lines.values()):
            self._feed(grants)
            grants.recall()
        batch = self._batch(decodes, grants)
        _expect(batch)
        return batch

    def _prompts(self, ready: list[Sequence]) -> list[Sequence]:
        """Those under way; while all that run are ready there is none to look for."""
        running = self._roster.running
        return [one for one in running if one.pending > 1] if len(ready) < len(running) else []

    def _decode(self, ready: list[Sequence], grants: Grants) -> list[Row]:
        """Single tokens leave documents their floor."""
        floor = self._limits.floor if self._documents.any_to_read(grants) else 0
        decodes = charged(ready[: grants.left - floor])
        grants.left -= len(decodes)
        return decodes

    def _feed(self, grants: Grants) -> None:
        """Share out what is left among prompts."""
        limits, documents, chats = self._limits, self._documents, self._chats
        if self._roster.rested >= limits.rest and chats.any_to_read(grants):
            documents.feed(grants, limits.turn)
        chats.feed(grants)
        if not grants and chats.lack_pages:
            documents.feed(grants, limits.floor)
        self._rest(grants)
        if not grants:
            documents.feed(grants, limits.long_step_tokens, at_leisure=True)

    def _rest(self, grants: Grants) -> None:
        """Count what chats read while documents wait."""
        chats = grants.tokens_of(Lane.SHORT)
        grants.rests = chats > 0 and self._documents.any_to_read(grants)
        if grants.rests:
            self._roster.rested += chats

    def _batch(self, decodes: list[Row], grants: Grants) -> Batch:
        prompts = grants.rows()
        if not prompts:
            self._guesses.add_to(decodes, grants.left)
        return Batch(
            decodes=(*decodes, *(row for row in prompts if row.count == 1)),
            chunks=tuple([row for row in prompts if row.count > 1]),
            copies=tuple(grants.copies),
            begun=tuple(grants.begun),
            moves=Moves(self._roster.pages.host.planned(), tuple(grants.loads)),
            recalls=tuple(grants.recalls),
            rests=grants.rests,
        )


def _expect(batch: Batch) -> None:
    """From now on the step counts as computed, though its tokens are not known."""
    for row in batch.rows:
        row.sequence.computed = row.start + row.count
    for row in batch.drawing:
        row.sequence.awaited += 1
