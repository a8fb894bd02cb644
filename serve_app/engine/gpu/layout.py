"""A batch as numbers: which token stands where, for the card to read. Pure; nothing is sent."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from serve_app.engine.batch import Batch, Row
from serve_app.engine.gpu.backends import BackEnd
from serve_app.engine.gpu.far import Chunk
from serve_app.engine.gpu.ferry import Numbers
from serve_app.engine.gpu.looks import Looks, share_out
from serve_app.engine.sampling.chances import asked_places

ON_CARD = -1  # in place of a token that the step before drew and the host has not seen


def singles(rows: Sequence[Row], seats: Sequence[int]) -> Numbers:
    """Tokens, places and seats of rows with one token each: [3, B]."""
    tokens = [_token(row) for row in rows]
    return np.array([tokens, [row.start for row in rows], seats], np.int32)


def _token(row: Row) -> int:
    tokens = row.sequence.tokens
    return tokens[row.start] if row.start < len(tokens) else ON_CARD


def drafted(rows: Sequence[Row], seats: Sequence[int]) -> tuple[Numbers, list[int]]:
    """The same with each row's draft behind it: [3, L]; and the place in `rows` of each line."""
    lines = [
        (guess, row.start + at, seat)
        for row, seat in zip(rows, seats, strict=True)
        for at, guess in enumerate((_token(row), *row.draft))
    ]
    owners = [place for place, row in enumerate(rows) for _ in range(1 + len(row.draft))]
    return np.array(lines, np.int32).T, owners


@dataclass(frozen=True, slots=True)
class Layout:
    """A batch with chunks: T tokens side by side, single ones first, then C chunks."""

    lines: Numbers  # [3, T]: tokens, places, seats
    chunks: Numbers  # [C, 4]: first token among the chunks', its place, tokens, seat
    near: Looks  # of all chunks that are not far
    far: tuple[Chunk, ...]
    drawing: NDArray[np.int64]  # [B + A]: tokens that draw, then those whose chances are asked for
    drawing_seats: Numbers  # [B]


def lay_out(
    batch: Batch, seats: Sequence[int], block: int, heads: int, by: BackEnd | None
) -> Layout:
    """Lay all rows side by side.

    `block` is how many tokens of a near chunk are looked with at once, by each of `heads`; `by`
    looks with far ones, where there is one.
    """
    alone = len(batch.decodes)
    counts = np.array([row.count for row in batch.rows], np.int64)
    ends = counts.cumsum()
    begins = ends - counts
    first = (begins[alone:] - alone).tolist()
    chunks = [
        Chunk(begin, row.start, row.count, seat)
        for begin, row, seat in zip(first, batch.chunks, seats[alone:], strict=True)
    ]
    near = [each for each in enumerate(chunks) if not each[1].is_far(by)]
    drawing = [place for place, row in enumerate(batch.rows) if row.draws]
    asked = [
        begin + place - row.start
        for begin, row in zip(begins, batch.rows, strict=True)
        for place in asked_places(row)
    ]
    return Layout(
        lines=_lines(batch, seats),
        chunks=np.array([astuple(chunk) for chunk in chunks], np.int32).reshape(-1, 4),
        near=share_out(near, block, heads),
        far=tuple(chunk for chunk in chunks if chunk.is_far(by)),
        drawing=np.concatenate([ends[drawing] - 1, np.array(asked, np.int64)]),
        drawing_seats=np.array([seats[place] for place in drawing], np.int32),
    )


def _lines(batch: Batch, seats: Sequence[int]) -> Numbers:
    alone = len(batch.decodes)
    parts = [singles(batch.decodes, seats[:alone])]
    for row, seat in zip(batch.chunks, seats[alone:], strict=True):
        part = np.empty((3, row.count), np.int32)
        part[0] = row.sequence.tokens[row.start : row.start + row.count]
        part[1] = np.arange(row.start, row.start + row.count)
        part[2] = seat
        parts.append(part)
    return np.concatenate(parts, axis=1)
