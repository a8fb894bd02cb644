"""How long documents rest, told from steps alone."""

from serve_app.engine.batch import Batch
from serve_app.engine.pages import Pages
from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Lane, Sequence, Status


class Rest:
    """Plans steps, and notes those for which a document rests that could go on."""

    def __init__(self, books: Scheduler) -> None:
        self._books = books
        self.steps: list[int] = []  # tokens of prompts that chats read in each, up to now

    def plan(self) -> Batch:
        everybody = self._books.running + self._books.waiting
        reading = {one for one in everybody if one.pending > 1 and not one.away}
        documents = {one for one in reading if one.lane is Lane.LONG}
        batch = self._books.schedule()
        prompts = [row for row in batch.rows if row.sequence in reading.union(batch.begun)]
        moved = documents & {*batch.begun, *(row.sequence for row in prompts)}
        if moved or not any(map(self._could_move, documents)):
            self.steps.clear()
        else:
            chats = (row.count for row in prompts if row.sequence.lane is Lane.SHORT)
            self.steps.append(sum(chats))
        return batch

    def _could_move(self, document: Sequence) -> bool:
        """Whether it has pages and a place even now, with all that others have taken."""
        if self._books.limits.step_tokens == 1:  # documents get half of a step at most: none
            return False
        if document.status is Status.WAITING:
            return self._could_begin(document)
        return document.lane is Lane.LONG and self._pages.room(document) > document.computed

    def _could_begin(self, document: Sequence) -> bool:
        """Alone it needs a place and a page; beside other documents more is asked."""
        roster = self._books._roster
        return (
            roster.lines[Lane.LONG].head() is document
            and all(one.lane is Lane.SHORT for one in roster.running)
            and roster.has_place
            and document.tried != self._pages.returns
            and self._pages.blocks.can_take(1, self._pages.find(document).pages)
        )

    @property
    def _pages(self) -> Pages:
        return self._books._roster.pages
