"""Attention of prompt chunks over their pages: any number of chunks, each with any past.

A few tokens with a long past are few programs that take long: their looks are cut into parts, which
are merged by a kernel of their own.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from serve_app.engine.gpu.kernels.decode import gather
from serve_app.engine.gpu.step import Heads, Kept

ROWS = 64  # tokens of a chunk that one program looks with
_TILE = 64  # tokens looked at in one turn of the loop
_LIFT = 1024.0  # keeps a weight times a scale among the numbers of float16
_LOG2_E = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class Chunks:
    """C chunks that lie side by side, cut into blocks of ROWS tokens, and these into looks."""

    chunks: Tensor  # [C, 4] int32: first token among all chunks', its place, tokens, seat
    looks: Tensor  # [N, 5] int32, see `looks.Looks`
    merges: Tensor  # [M, 4] int32, likewise
    parts: int
    table: Tensor  # [seats, M] int32


def look_with_chunks(query: Tensor, chunks: Chunks, heads: Heads, kept: Kept, out: Tensor) -> None:
    """Look with `query` [T, H, d] at keys and values that are kept; fill `out` [T, H * d]."""
    scaled = kept.scales is not None
    shape = (chunks.parts, ROWS, heads.queries)
    seen = query.new_empty(*shape, heads.width, dtype=torch.float32)
    sums = query.new_empty(shape, dtype=torch.float32)
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
        heads.scale * _LOG2_E,
        chunks.table.stride(0),
        QUERIES=heads.queries,
        KEYS=heads.keys,
        WIDTH=heads.width,
        PAGE=kept.page_tokens,
        SCALED=scaled,
        LIFT=_LIFT if scaled else 1.0,
        ROWS=ROWS,
        TILE=_TILE,
        num_warps=4,
        num_stages=2,
    )
    if chunks.parts:
        _merge[(heads.queries, len(chunks.merges))](
            chunks.chunks,
            chunks.merges,
            seen,
            sums,
            out,
            QUERIES=heads.queries,
            WIDTH=heads.width,
            ROWS=ROWS,
        )


@triton.jit
def _look(
    query,  # [T, QUERIES, WIDTH]
    chunks,  # [C, 4]
    looks,  # [N, 5]
    table,  # [seats, M]
    pages,  # [pages, 2, KEYS, PAGE, WIDTH]
    scales,  # [pages, 2, KEYS, PAGE]
    seen,  # [parts, ROWS, QUERIES, WIDTH]
    sums,  # [parts, ROWS, QUERIES]: log2 of the sum of each part's weights
    out,  # [T, QUERIES, WIDTH]
    scale,
    table_stride,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    PAGE: tl.constexpr,
    SCALED: tl.constexpr,
    LIFT: tl.constexpr,
    ROWS: tl.constexpr,
    TILE: tl.constexpr,
):
    head = tl.program_id(0)
    look = looks + tl.program_id(1) * 5
    chunk = chunks + tl.load(look) * 4
    offset = tl.load(look + 1) * ROWS
    begin = tl.load(look + 2)
    end = tl.load(look + 3)  # the block's last row sees no token from here on
    part = tl.load(look + 4).to(tl.int64)
    line = tl.load(chunk).to(tl.int64)
    start = tl.load(chunk + 1)
    count = tl.load(chunk + 2)
    mine = table + tl.load(chunk + 3).to(tl.int64) * table_stride

    at = tl.arange(0, WIDTH)
    row = offset + tl.arange(0, ROWS)
    inside = (row < count)[:, None]
    where = ((line + row)[:, None] * QUERIES + head) * WIDTH + at[None, :]
    asks = tl.load(query + where, mask=inside, other=0.0)
    asks = (asks.to(tl.float32) * scale).to(tl.float16 if SCALED else asks.dtype)
    own = (head // (QUERIES // KEYS)).to(tl.int64) * PAGE
    kept = pages + own * WIDTH
    theirs = scales + own

    most = tl.full([ROWS], -1e30, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    so_far = tl.zeros([ROWS, WIDTH], tl.float32)
    # Tokens that every row may see come first and need no mask.
    plain = tl.minimum((start + offset + 1) // TILE * TILE, end)
    for tile in tl.range(begin, plain, TILE):
        most, total, so_far = _tile(
            asks, mine, kept, theirs, tile, end, start + row, most, total, so_far,
            KEYS, WIDTH, PAGE, TILE, SCALED, LIFT, False,
        )  # fmt: skip
    for tile in tl.range(tl.maximum(begin, plain), end, TILE):
        most, total, so_far = _tile(
            asks, mine, kept, theirs, tile, end, start + row, most, total, so_far,
            KEYS, WIDTH, PAGE, TILE, SCALED, LIFT, True,
        )  # fmt: skip
    so_far = so_far / (total * LIFT)[:, None]
    if part < 0:
        tl.store(out + where, so_far.to(out.dtype.element_ty), mask=inside)
    else:
        to = (part * ROWS + tl.arange(0, ROWS)) * QUERIES + head
        tl.store(seen + to[:, None] * WIDTH + at[None, :], so_far)
        tl.store(sums + to, most + tl.log2(total))


@triton.jit
def _merge(
    chunks,  # [C, 4]
    merges,  # [M, 4]
    seen,  # [parts, ROWS, QUERIES, WIDTH]
    sums,  # [parts, ROWS, QUERIES]
    out,  # [T, QUERIES, WIDTH]
    QUERIES: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
):
    head = tl.program_id(0)
    merge = merges + tl.program_id(1) * 4
    chunk = chunks + tl.load(merge) * 4
    row = tl.load(merge + 1) * ROWS + tl.arange(0, ROWS)
    first = tl.load(merge + 2).to(tl.int64)
    at = tl.arange(0, WIDTH)
    most = tl.full([ROWS], -1e30, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    whole = tl.zeros([ROWS, WIDTH], tl.float32)
    for part in range(first, first + tl.load(merge + 3)):
        its = (part * ROWS + tl.arange(0, ROWS)) * QUERIES + head
        its_sum = tl.load(sums + its)
        its_seen = tl.load(seen + its[:, None] * WIDTH + at[None, :])
        more = tl.maximum(most, its_sum)
        fade, share = tl.exp2(most - more), tl.exp2(its_sum - more)
        whole = whole * fade[:, None] + its_seen * share[:, None]
        total = total * fade + share
        most = more
    line = tl.load(chunk).to(tl.int64) + row
    where = (line[:, None] * QUERIES + head) * WIDTH + at[None, :]
    inside = (row < tl.load(chunk + 2))[:, None]
    tl.store(out + where, (whole / total[:, None]).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _tile(
    asks, mine, kept, scales, tile, end, place, most, total, so_far,
    KEYS: tl.constexpr, WIDTH: tl.constexpr, PAGE: tl.constexpr, TILE: tl.constexpr,
    SCALED: tl.constexpr, LIFT: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    at = tl.arange(0, WIDTH)
    other = tile + tl.arange(0, TILE)
    if PAGE % TILE == 0:
        page = tl.load(mine + tile // PAGE).to(tl.int64)
    else:
        page = tl.load(mine + other // PAGE, mask=other < end, other=0).to(tl.int64)
    line = page * 2 * KEYS * PAGE + other % PAGE
    where = kept + line[:, None] * WIDTH + at[None, :]
    values = KEYS * PAGE
    if MASKED:
        key = tl.load(where, mask=(other < end)[:, None], other=0.0)
        value = tl.load(where + values * WIDTH, mask=(other < end)[:, None], other=0.0)
    else:
        key = tl.load(where)
        value = tl.load(where + values * WIDTH)
    weight = tl.dot(asks, tl.trans(key.to(asks.dtype)))  # [ROWS, TILE]
    if SCALED:
        weight *= tl.load(scales + line, mask=other < end, other=0.0)[None, :]
    if MASKED:
        weight = tl.where(other[None, :] <= place[:, None], weight, -1e30)
    more = tl.maximum(most, tl.max(weight, 1))
    weight = tl.exp2(weight - more[:, None])
    fade = tl.exp2(most - more)
    total = total * fade + tl.sum(weight, 1)
    so_far = so_far * fade[:, None]
    if SCALED:
        lift = tl.load(scales + line + values, mask=other < end, other=0.0) * LIFT
        weight *= lift[None, :]
    so_far = tl.dot(weight.to(asks.dtype), value.to(asks.dtype), so_far)
    return more, total, so_far


def plain_look_with_chunks(query: Tensor, chunks: Chunks, heads: Heads, kept: Kept) -> Tensor:
    """What `look_with_chunks` computes."""
    out = torch.empty_like(query)
    for line, start, count, seat in chunks.chunks.tolist():
        its = slice(line, line + count)
        key, value = gather(kept, chunks.table[seat], start + count, query.dtype)
        seen = torch.ones(count, start + count, dtype=torch.bool).tril(start)
        found = attend(
            query[its].transpose(0, 1),
            key,
            value,
            attn_mask=seen,
            scale=heads.scale,
            enable_gqa=True,
        )
        out[its] = found.transpose(0, 1)
    return out.flatten(1)
