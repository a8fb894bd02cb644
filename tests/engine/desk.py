"""A scheduler at work without a model: what the tests of its parts share."""

from serve_app.engine.batch import Batch, Row
from serve_app.engine.draws import Draws
from serve_app.engine.limits import Limits
from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Lane, Sequence

END = 0


def limits(
    *,
    pages: int = 16,
    page_tokens: int = 4,
    step_tokens: int = 16,
    max_running: int = 8,
    max_waiting: int = 8,
    max_waiting_tokens: int = 10**6,
    long_prompt_tokens: int = 10**6,
    long_floor_tokens: int = 4,
    long_step_tokens: int = 10**6,
    host_pages: int = 0,
    recalled_tokens: int = 10**6,
) -> Limits:
    return Limits(
        pages=pages,
        page_tokens=page_tokens,
        step_tokens=step_tokens,
        max_running=max_running,
        max_waiting=max_waiting,
        max_waiting_tokens=max_waiting_tokens,
        long_prompt_tokens=long_prompt_tokens,
        long_floor_tokens=long_floor_tokens,
        long_step_tokens=long_step_tokens,
        host_pages=host_pages,
        recalled_tokens=recalled_tokens,
    )


def scheduler(**fields: int) -> Scheduler:
    return Scheduler(limits(**fields))


def tokens(count: int, first: int = 1) -> list[int]:
    return list(range(first, first + count))


def step(books: Scheduler, token: int = 7, seconds: float = 0.0) -> Batch:
    batch = books.schedule()
    books.apply(batch, Draws([token] * len(batch.drawing)), seconds)
    return batch


def read(batch: Batch, lane: Lane) -> int:
    """Tokens of prompts that one lane computes."""
    return sum(row.count for row in batch.chunks if row.sequence.lane is lane)


Places = dict[tuple[int, int], int]


class Memory:
    """What stands in the pages: for each place, which tokens led there. Finds wrong sharing."""

    def __init__(self, books: Scheduler) -> None:
        self._size = books.limits.page_tokens
        self._blocks = books.blocks
        self._places: Places = {}
        self._host: Places = {}

    def compute(self, batch: Batch) -> None:
        """Copy, write and read as a model does; every row must find its own beginning.

        Call once the tokens of all steps before are known. Who has gone meanwhile writes what
        nobody may find.
        """
        self.move(batch)
        for source, target in batch.copies:
            self._copy(self._places, source, self._places, target)
        for row in batch.rows:
            self._write(row)
        for row in batch.held().rows:
            self._read(row)

    def move(self, batch: Batch) -> None:
        """Put pages away, then bring others back."""
        for page, slot in batch.moves.stores:
            self._copy(self._places, page, self._host, slot)
        for slot, page in batch.moves.loads:
            self._copy(self._host, slot, self._places, page)

    def _copy(self, source: Places, begin: int, target: Places, end: int) -> None:
        for place in range(self._size):
            target[end, place] = source.get((begin, place), -1)

    def _write(self, row: Row) -> None:
        beginnings = _beginnings(row.sequence)
        for index in range(row.start, row.start + row.count):
            page, place = row.pages[index // self._size], index % self._size
            assert not row.is_held or self._blocks._holders[page] == 1
            self._places[page, place] = beginnings[index] if row.is_held else -1

    def _read(self, row: Row) -> None:
        for index, beginning in enumerate(_beginnings(row.sequence)[: row.start + row.count]):
            page, place = row.pages[index // self._size], index % self._size
            assert self._places[page, place] == beginning


def _beginnings(sequence: Sequence) -> list[int]:
    """One number for each beginning of the tokens, under the sequence's salt."""
    so_far, all_of_them = hash(sequence.salt), []
    for token in sequence.tokens:
        so_far = hash((so_far, token))
        all_of_them.append(so_far)
    return all_of_them
