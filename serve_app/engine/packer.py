"""Every tensor of a batch, built in one place."""

from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor

from serve_app.engine.attention import Chunk, Group, PagedBatch, PagedCache, Past, Window
from serve_app.engine.sampling.chances import asked_places
from serve_app.engine.scheduler import Batch, Row
from serve_app.engine.sequence import Sequence

SHORT = 256  # tokens up to which padding is cheaper than one more look
SPARE = 32  # tokens a window can grow by before it is gathered anew
KEPT = 8192  # tokens in a window above which its memory is worth more than its speed

Key = tuple[tuple[Sequence, int], ...]  # the rows of a group, with the tokens of each


class Packer:
    """Builds every tensor of a batch, in one place."""

    def __init__(self, cache: PagedCache, like: Tensor) -> None:
        self._cache = cache
        self._like = like
        self._windows: dict[Key, Window] = {}  # kept from the last step

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """Lay all rows side by side: T tokens in one line.

        Logits are kept of the B that draw, each followed by its draft, then of the N whose next
        token's are asked for.
        """
        singles = sorted((row for row in batch.decodes if not row.draft), key=length_of)
        chunks = [*(row for row in batch.decodes if row.draft), *batch.chunks]
        rows = [*singles, *chunks]
        ends = list(accumulate(row.count + len(row.draft) for row in rows))
        tokens = [token for row in rows for token in _tokens(row)]
        places = [place for row in rows for place in _places(row)]
        slots = [slot for row in rows for slot in self._slots(row)]
        lines = self._tensor([tokens, places, slots])  # [3, T]
        last = {row.sequence: end - 1 for row, end in zip(rows, ends, strict=True)}
        drawing = [
            last[row.sequence] - len(row.draft) + line
            for row in batch.drawing
            for line in range(1 + len(row.draft))
        ]
        asked = [
            last[row.sequence] + 1 - length_of(row) + place
            for row in batch.rows
            for place in asked_places(row)
        ]
        return {
            "input_ids": lines[0:1],
            "position_ids": lines[1:2],
            "logits_to_keep": self._tensor(drawing + asked),
            "paged": PagedBatch(
                cache=self._cache,
                slots=lines[2],
                groups=self._groups(singles),
                chunks=tuple(map(self._chunk, chunks, ends[len(singles) :])),
            ),
        }

    def _groups(self, singles: list[Row]) -> tuple[Group, ...]:
        """Cut rows, shortest first, where their length doubles, so that padding stays cheap."""
        cut = groupby(singles, key=lambda row: (length_of(row) // SHORT).bit_length())
        parts = [list(rows) for _, rows in cut]
        begins = accumulate(map(len, parts), initial=0)
        windows = [self._window(rows) for rows in parts]
        self._windows = {
            tuple((row.sequence, length_of(row)) for row in rows): window
            for rows, window in zip(parts, windows, strict=True)
            if window.keep
        }
        return tuple(map(self._group, parts, begins, windows))

    def _group(self, rows: list[Row], begin: int, window: Window) -> Group:
        longest = length_of(rows[-1])
        lengths = self._tensor([length_of(row) for row in rows])  # [D]
        numbers = torch.arange(max(len(rows), longest), device=self._like.device)
        return Group(
            begin=begin,
            end=begin + len(rows),
            window=window,
            places=numbers[: len(rows)] * window.width + lengths - 1,
            mask=self._hide(numbers[:longest] >= lengths[:, None])[:, None, None],
        )

    def _window(self, rows: list[Row]) -> Window:
        """Go on with the last step's window if these are its rows, each one token longer."""
        known = self._windows.get(tuple((row.sequence, row.start) for row in rows))
        if known and known.width >= length_of(rows[-1]):
            return known
        return self._new_window(rows)

    def _new_window(self, rows: list[Row]) -> Window:
        wide = -(-(length_of(rows[-1]) + SPARE) // self._cache.page_tokens)
        pad = [self._cache.pad_page] * wide
        pages = [page for row in rows for page in (self._pages(row) + pad)[:wide]]
        keep = len(pages) * self._cache.page_tokens <= KEPT
        return Window(self._cache, self._tensor(pages), len(rows), keep=keep)

    def _chunk(self, row: Row, end: int) -> Chunk:
        count = row.count + len(row.draft)
        begin = end - count
        if not row.start:
            return Chunk(begin, end, None)
        square = torch.ones(count, length_of(row), device=self._like.device)
        mask = self._hide(square.triu(row.start + 1).bool())
        return Chunk(begin, end, Past(self._tensor(self._pages(row)), mask))

    def _hide(self, hidden: Tensor) -> Tensor:
        """Turn True into -inf and False into 0."""
        return self._like.new_zeros(hidden.shape).masked_fill_(hidden, float("-inf"))

    def _pages(self, row: Row) -> list[int]:
        """Pages up to the row's last token; later ones may be held already."""
        return row.pages[: -(-length_of(row) // self._cache.page_tokens)]

    def _slots(self, row: Row) -> list[int]:
        size = self._cache.page_tokens
        return [row.pages[place // size] * size + place % size for place in _places(row)]

    def _tensor(self, values: list[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._like.device)


def length_of(row: Row) -> int:
    """Tokens the row's last one may see, itself included."""
    return row.start + row.count + len(row.draft)


def _tokens(row: Row) -> list[int]:
    return [*row.sequence.tokens[row.start : row.start + row.count], *row.draft]


def _places(row: Row) -> range:
    return range(row.start, length_of(row))
