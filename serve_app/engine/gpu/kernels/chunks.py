"""Attention of prompt chunks over their pages: any number of chunks, each with any past.

A few tokens with a long past are few programs that take long: their looks are cut into parts, which
are merged by a kernel of their own.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.softmax import HIDDEN, LIFT, add_part, nothing, plain_look, weigh
from serve_app.engine.gpu.step import Heads, Kept

ROWS = 64  # tokens of a chunk that one program looks with
_TILE = 64  # tokens looked at in one turn of the loop


@dataclass(frozen=True, slots=True)
class Chunks:
    """C chunks that lie side by side, cut into blocks of ROWS tokens, and these into looks."""

    chunks: Tensor  # [C, 4] int32: first token among all chunks', its place, tokens, seat
    looks: Tensor  # [N, 5] int32, see `looks.Looks`
    merges: Tensor  # [M, 4] int32, likewise
    parts: int
    table: Tensor  # [seats, M] int32


class _Shape(NamedTuple):
    """What the kernels are compiled for; a tuple, which Triton can tell its hooks in JSON."""

    queries: int  # query heads
    keys: int  # key heads
    width: int  # numbers a head
    page: int  # tokens
    rows: int  # tokens a program looks with
    tile: int  # tokens
    aligned: bool  # each tile lies within one page
    scaled: bool  # keys and values are kept in 8 bits
    lift: int  # doublings of what is seen, until it is stored


def look_with_chunks(query: Tensor, chunks: Chunks, heads: Heads, kept: Kept, out: Tensor) -> None:
    """Look with `query` [T, H, d] at keys and values that are kept; fill `out` [T, H * d]."""
    apart = (chunks.parts, ROWS, heads.queries)
    seen = query.new_empty(*apart, heads.width, dtype=torch.float32)
    sums = query.new_empty(apart, dtype=torch.float32)
    shape = _shape(heads, kept.page_tokens, scaled=kept.scales is not None)
    _look[(heads.queries, len(chunks.looks))](
        query,
        chunks.chunks,
        chunks.looks,
        chunks.table,
        kept.pages,
        kept.pages if kept.scales is None else kept.scales,
        seen,
        sums,
        out,
        heads.log2_scale,
        chunks.table.stride(0),
        SHAPE=shape,
        num_warps=4,
        num_stages=2,
    )
    if chunks.parts:
        every = heads.queries, len(chunks.merges)
        _merge[every](chunks.chunks, chunks.merges, seen, sums, out, SHAPE=shape)


@cache  # each layer asks
def _shape(heads: Heads, page: int, *, scaled: bool) -> _Shape:
    return _Shape(
        queries=heads.queries,
        keys=heads.keys,
        width=heads.width,
        page=page,
        rows=ROWS,
        tile=_TILE,
        aligned=page % _TILE == 0,
        scaled=scaled,
        lift=LIFT if scaled else 0,
    )


@triton.jit
def _look(
    query,  # [T, queries, width]
    chunks,  # [C, 4]
    looks,  # [N, 5]
    table,  # [seats, M]
    pages,  # [pages, 2, keys, page, width]
    scales,  # [pages, 2, keys, page]
    seen,  # [parts, rows, queries, width]
    sums,  # [parts, rows, queries]: log2 of the sum of each part's weights
    out,  # [T, queries, width]
    scale,
    table_stride,
    SHAPE: tl.constexpr,
):
    head = tl.program_id(0)
    look = looks + tl.program_id(1) * 5
    chunk = chunks + tl.load(look) * 4
    offset = tl.load(look + 1) * SHAPE.rows
    begin = tl.load(look + 2)
    end = tl.load(look + 3)  # the block's last row sees no token from here on
    part = tl.load(look + 4).to(tl.int64)
    line = tl.load(chunk).to(tl.int64)
    start = tl.load(chunk + 1)
    count = tl.load(chunk + 2)
    mine = table + tl.load(chunk + 3).to(tl.int64) * table_stride

    row = offset + tl.arange(0, SHAPE.rows)
    at = tl.arange(0, SHAPE.width)
    inside = (row < count)[:, None]
    where = ((line + row)[:, None] * SHAPE.queries + head) * SHAPE.width + at[None, :]
    asks = tl.load(query + where, mask=inside, other=0.0)
    asks = (asks.to(tl.float32) * scale).to(tl.float16 if SHAPE.scaled else asks.dtype)
    own = (head // (SHAPE.queries // SHAPE.keys)).to(tl.int64) * SHAPE.page
    kept = pages + own * SHAPE.width, scales + own
    found = nothing(SHAPE.rows, SHAPE.width)
    # Tokens that every row may see come first and need no mask.
    plain = tl.minimum((start + offset + 1) // SHAPE.tile * SHAPE.tile, end)
    for tile in tl.range(begin, plain, SHAPE.tile):
        found = _look_at_tile(asks, found, kept, mine, tile, end, start + row, SHAPE, False)
    for tile in tl.range(tl.maximum(begin, plain), end, SHAPE.tile):
        found = _look_at_tile(asks, found, kept, mine, tile, end, start + row, SHAPE, True)
    most, total, whole = found
    whole = whole / (total * 2.0**SHAPE.lift)[:, None]
    if part < 0:
        tl.store(out + where, whole.to(out.dtype.element_ty), mask=inside)
    else:
        to = (part * SHAPE.rows + tl.arange(0, SHAPE.rows)) * SHAPE.queries + head
        tl.store(seen + to[:, None] * SHAPE.width + at[None, :], whole)
        tl.store(sums + to, most + tl.log2(total))


@triton.jit
def _look_at_tile(
    asks,  # [rows, width]
    found,
    kept,  # a head's pages and their scales
    table,  # [M]: pages of this sequence
    tile,
    end,
    place,  # [rows]
    SHAPE: tl.constexpr,
    MASKED: tl.constexpr,
):
    """Look at a tile's tokens too; those behind a row's own place it may not see."""
    most, total, whole = found
    pages, scales = kept
    other = tile + tl.arange(0, SHAPE.tile)
    line = _lines(table, tile, other, end, SHAPE)
    where = pages + line[:, None] * SHAPE.width + tl.arange(0, SHAPE.width)[None, :]
    values = SHAPE.keys * SHAPE.page  # from a token's keys to its values
    key = _load(where, other < end, MASKED)
    value = _load(where + values * SHAPE.width, other < end, MASKED)
    logits = tl.dot(asks, tl.trans(key.to(asks.dtype)))  # [rows, tile]
    if SHAPE.scaled:
        logits *= tl.load(scales + line, mask=other < end, other=0.0)[None, :]
    if MASKED:
        logits = tl.where(other[None, :] <= place[:, None], logits, HIDDEN)
    weights, fade, most = weigh(logits, most, 0)
    total = total * fade + tl.sum(weights, 1)
    whole = whole * fade[:, None]
    if SHAPE.scaled:
        lift = tl.load(scales + line + values, mask=other < end, other=0.0) * 2.0**SHAPE.lift
        weights *= lift[None, :]
    return most, total, tl.dot(weights.to(asks.dtype), value.to(asks.dtype), whole)


@triton.jit
def _lines(table, tile, other, end, SHAPE: tl.constexpr):
    """Say where the keys of a tile's tokens are, counted in tokens of one head."""
    if SHAPE.aligned:
        page = tl.load(table + tile // SHAPE.page).to(tl.int64)
    else:
        page = tl.load(table + other // SHAPE.page, mask=other < end, other=0).to(tl.int64)
    return page * 2 * SHAPE.keys * SHAPE.page + other % SHAPE.page


@triton.jit
def _load(where, inside, MASKED: tl.constexpr):
    return tl.load(where, mask=inside[:, None], other=0.0) if MASKED else tl.load(where)


@triton.jit
def _merge(
    chunks,  # [C, 4]
    merges,  # [M, 4]
    seen,  # [parts, rows, queries, width]
    sums,  # [parts, rows, queries]
    out,  # [T, queries, width]
    SHAPE: tl.constexpr,
):
    head = tl.program_id(0)
    merge = merges + tl.program_id(1) * 4
    chunk = chunks + tl.load(merge) * 4
    row = tl.load(merge + 1) * SHAPE.rows + tl.arange(0, SHAPE.rows)
    first = tl.load(merge + 2).to(tl.int64)
    at = tl.arange(0, SHAPE.width)
    found = nothing(SHAPE.rows, SHAPE.width)
    for part in range(first, first + tl.load(merge + 3)):
        its = (part * SHAPE.rows + tl.arange(0, SHAPE.rows)) * SHAPE.queries + head
        its_sums = tl.load(sums + its)
        its_seen = tl.load(seen + its[:, None] * SHAPE.width + at[None, :])
        found = add_part(found, its_sums, its_seen)
    _, total, whole = found
    line = tl.load(chunk).to(tl.int64) + row
    where = (line[:, None] * SHAPE.queries + head) * SHAPE.width + at[None, :]
    inside = (row < tl.load(chunk + 2))[:, None]
    tl.store(out + where, (whole / total[:, None]).to(out.dtype.element_ty), mask=inside)


def plain_look_with_chunks(query: Tensor, chunks: Chunks, heads: Heads, kept: Kept) -> Tensor:
    """What `look_with_chunks` computes."""
    out = torch.empty_like(query)
    for line, start, count, seat in chunks.chunks.tolist():
        its = slice(line, line + count)
        out[its] = plain_look(query[its], chunks.table[seat], start, heads, kept)
    return out.flatten(1)
