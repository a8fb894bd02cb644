"""Attention of single tokens over their pages: turn, store and look in one kernel.

The past of a row is cut into splits, which are looked at side by side and then merged, so that few
rows with a long past fill the card as well as many with a short one. Of a few splits the last that
is done merges all; many are merged by a kernel of their own, side by side.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from serve_app.engine.gpu.kernels.arrivals import arrivals
from serve_app.engine.gpu.kernels.early import early, wait
from serve_app.engine.gpu.kernels.fp8 import join, part, unpack
from serve_app.engine.gpu.kernels.rotary import plain_rotate_and_store, scale_of, turn
from serve_app.engine.gpu.kernels.splits import merge, merge_by_last, split_length
from serve_app.engine.gpu.step import Heads, Kept, Lines

_TILE = 64  # tokens looked at in one turn of the loop
_FULL = 256  # programs at which the card is full: about two for each multiprocessor of an H200
_ENOUGH = 512  # programs to which a few rows are cut: about four
# So that four programs are at once on a multiprocessor.
_SHAPE = {"num_warps": 4, "num_stages": 2, "maxnreg": 128}
_SHAPE_SCALED = {"num_warps": 2, "num_stages": 3}
# Begun early, these programs take room from the product before: on an H200 a step of one row took
# 5.37 ms instead of 4.69.
_LATE = {"EARLY": False}
_LIFT = 10  # doublings that keep a weight times a scale among the numbers of float16
_SPLITS = (1, 2, 4, 8, 32, 128, 256)  # each is compiled once
_MOST = _SPLITS[-1]
_MERGED = 32  # splits up to which one program merges them fast enough
_LOG2_E = 1.4426950408889634


def splits_for(rows: int, heads: Heads) -> int:
    """Cut the past into so many programs that the card is full; known before the lengths are."""
    alone = rows * heads.keys
    if alone >= _FULL:
        return 1
    return next((splits for splits in _SPLITS if splits > 1 and splits * alone >= _ENOUGH), _MOST)


def decode(
    qkv: Tensor, lines: Lines, heads: Heads, kept: Kept, out: Tensor, *, stored: bool = False
) -> None:
    """Look with B single tokens, `qkv` [B, (H + 2 * K) * d]; fill `out` [B, H * d].

    Their keys and values are kept, unless they are `stored` already: tokens of one sequence must
    be, to see each other. Each row has a page of its own for its new token, or the trash page if
    it only fills a graph.
    """
    scaled = kept.scales is not None
    rows = len(qkv)
    splits = splits_for(rows, heads)
    shape = (rows, heads.queries, splits)
    seen = out if splits == 1 else qkv.new_empty(*shape, heads.width, dtype=torch.float32)
    sums = seen if splits == 1 else qkv.new_empty(shape, dtype=torch.float32)
    _look[(rows, heads.keys, splits)](
        qkv,
        lines.turns.cos,
        lines.turns.sin,
        lines.seats,
        lines.places,
        lines.table,
        kept.pages,
        kept.pages.view(torch.int32) if scaled else kept.pages,
        kept.pages if kept.scales is None else kept.scales,
        seen,
        sums,
        out,
        arrivals(qkv.device, rows * heads.keys, splits),
        heads.scale * _LOG2_E,
        lines.table.stride(0),
        GROUP=heads.group,
        BLOCK=max(16, triton.next_power_of_2(heads.group)),
        KEYS=heads.keys,
        WIDTH=heads.width,
        TURNED=lines.turns.cos.shape[1],
        PAGE=kept.page_tokens,
        TILE=_TILE,
        SPLITS=splits,
        SCALED=scaled,
        LIFT=_LIFT if scaled else 0,
        STORED=stored,
        MERGES=1 < splits <= _MERGED,
        CARD=qkv.is_cuda,
        **(_LATE if scaled else early(qkv)),
        **(_SHAPE_SCALED if scaled else _SHAPE),
    )
    if splits > _MERGED:
        merge(seen, sums, lines.places, out, tile=_TILE, stored=stored)


@triton.jit(do_not_specialize_on_alignment=["seats", "places"])
def _look(
    qkv,  # [B, (KEYS * GROUP + 2 * KEYS) * WIDTH]
    cos,  # [places, TURNED]
    sin,  # [places, TURNED]
    seats,  # [B]
    places,  # [B]: tokens already in the pages
    table,  # [seats, M]
    pages,  # [pages, 2, KEYS, PAGE, WIDTH]
    words,  # the same, four numbers of 8 bits in each
    scales,  # [pages, 2, KEYS, PAGE]
    seen,  # [B, KEYS * GROUP, SPLITS, WIDTH]
    sums,  # [B, KEYS * GROUP, SPLITS]: log2 of the sum of each split's weights
    out,  # [B, KEYS * GROUP, WIDTH]: what is seen by all
    arrivals,  # [B, KEYS]
    scale,
    table_stride,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    TURNED: tl.constexpr,
    PAGE: tl.constexpr,
    TILE: tl.constexpr,
    SPLITS: tl.constexpr,
    SCALED: tl.constexpr,
    LIFT: tl.constexpr,  # weights are doubled so often; their sum is too
    STORED: tl.constexpr,
    MERGES: tl.constexpr,
    CARD: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait(EARLY)
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    split = tl.program_id(2)
    past = tl.load(places + row)
    there = past + 1 if STORED else past
    each = split_length(there, TILE, SPLITS)
    begin = split * each
    end = tl.minimum(begin + each, there)
    if (split > 0) & (begin >= there):
        return
    mine = table + tl.load(seats + row).to(tl.int64) * table_stride
    angle = past.to(tl.int64) * TURNED
    token = qkv + row * (GROUP + 2) * KEYS * WIDTH
    query, key, value = _ask(
        token, cos + angle, sin + angle, head, GROUP, BLOCK, KEYS, WIDTH, TURNED
    )

    # The first split looks at the new token, which it has at hand, and stores it.
    first = split < 0 if STORED else split == 0
    at = tl.arange(0, WIDTH)
    step = tl.arange(0, TILE)
    values = KEYS * PAGE  # from a token's keys to its values
    new = tl.sum(query.to(tl.float32) * key.to(tl.float32), 1) * scale
    most = tl.where(first, new, -1e30) - LIFT
    own = tl.where(first, 2.0**LIFT, 0.0)  # the new token's weight
    total = tl.where(step == 0, own, 0.0)[None, :] + tl.zeros([BLOCK, TILE], tl.float32)
    so_far = value.to(tl.float32) * own + tl.zeros([BLOCK, WIDTH], tl.float32)
    if first:
        page = tl.load(mine + past // PAGE).to(tl.int64)
        slot = (page * 2 * KEYS + head) * PAGE + past % PAGE
        _keep(key, pages, scales, slot, SCALED, WIDTH)
        _keep(value, pages, scales, slot + values, SCALED, WIDTH)

    if SCALED:
        query = query.to(tl.float16)
        so_far = part(so_far, BLOCK, WIDTH)
        word = tl.arange(0, WIDTH // 4)
    number = _numbers(mine, begin, end, PAGE, TILE)
    for tile in tl.range(begin, end, TILE):
        known = tile + step < end
        offset = tile % PAGE + step if PAGE % TILE == 0 else (tile + step) % PAGE
        slot = (number * 2 * KEYS + head) * PAGE + offset  # [TILE]
        number = _numbers(mine, tile + TILE, end, PAGE, TILE)  # the next tile's need not wait
        keys = tl.load(pages + slot[:, None] * WIDTH + at[None, :])
        weight = tl.dot(query, tl.trans(keys.to(query.dtype))) * scale  # [BLOCK, TILE]
        if SCALED:
            weight *= tl.load(scales + slot)[None, :]
        weight, fade, most = _weigh(weight, known, most, LIFT)
        total = total * fade + weight
        slot += values
        if SCALED:
            weight *= tl.load(scales + slot, mask=known, other=0.0)[None, :]
            where = words + slot[:, None] * (WIDTH // 4) + word[None, :]
            theirs = unpack(tl.load(where, mask=known[:, None], other=0), CARD)
            weight = weight.to(query.dtype)
            so_far = (
                tl.dot(weight, theirs[0], so_far[0] * fade),
                tl.dot(weight, theirs[1], so_far[1] * fade),
                tl.dot(weight, theirs[2], so_far[2] * fade),
                tl.dot(weight, theirs[3], so_far[3] * fade),
            )
        else:
            where = pages + slot[:, None] * WIDTH + at[None, :]
            theirs = tl.load(where, mask=known[:, None], other=0.0)
            so_far = tl.dot(weight.to(query.dtype), theirs, so_far * fade)
    if SCALED:
        so_far = join(so_far, BLOCK, WIDTH)

    total = tl.sum(total, 1)
    member = tl.arange(0, BLOCK)
    rows = (row * KEYS + head) * GROUP + member
    to = seen + (rows[:, None] * SPLITS + split) * WIDTH + at[None, :]
    found = (so_far / total[:, None]).to(seen.dtype.element_ty)
    tl.store(to, found, mask=(member < GROUP)[:, None])
    if SPLITS > 1:
        tl.store(sums + rows * SPLITS + split, most + tl.log2(total), mask=member < GROUP)
    if MERGES:
        done = arrivals + row * KEYS + head
        parts = tl.maximum(tl.cdiv(there, each), 1)
        merge_by_last(done, parts, seen, sums, out, rows, GROUP, BLOCK, WIDTH, SPLITS)


@triton.jit
def _ask(
    token,  # [(KEYS * GROUP + 2 * KEYS) * WIDTH]
    cos,  # [TURNED]
    sin,  # [TURNED]
    head,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    TURNED: tl.constexpr,
):
    """Return one head's queries [BLOCK, WIDTH], key and value [1, WIDTH] of a new token."""
    at = tl.arange(0, WIDTH)[None, :]
    member = tl.arange(0, BLOCK)
    one = tl.arange(0, 1)
    asks = token + (head * GROUP + member)[:, None] * WIDTH + at
    query = tl.load(asks, mask=(member < GROUP)[:, None], other=0.0)
    query = turn(query, member < GROUP, cos, sin, BLOCK, WIDTH, TURNED)
    key = tl.load(token + (KEYS * GROUP + head + one)[:, None] * WIDTH + at)
    key = turn(key, one == 0, cos, sin, 1, WIDTH, TURNED)
    value = tl.load(token + (KEYS * (GROUP + 1) + head + one)[:, None] * WIDTH + at)
    return query, key, value


@triton.jit
def _keep(x, pages, scales, slot, SCALED: tl.constexpr, WIDTH: tl.constexpr):
    """Put keys or values x [1, WIDTH] of a token into their place."""
    if SCALED:
        scale = scale_of(x)
        tl.store(scales + slot + tl.arange(0, 1), scale)
        x = x.to(tl.float32) / scale[:, None]
    to = pages + slot * WIDTH + tl.arange(0, WIDTH)[None, :]
    tl.store(to, x.to(pages.dtype.element_ty))


@triton.jit
def _numbers(mine, tile, end, PAGE: tl.constexpr, TILE: tl.constexpr):
    """Say where the tokens of a tile are: in one page, or each in its own of [TILE]."""
    place = tile
    if PAGE % TILE != 0:
        place += tl.arange(0, TILE)
    return tl.load(mine + place // PAGE, mask=place < end, other=0).to(tl.int64)


@triton.jit
def _weigh(weight, known, most, LIFT: tl.constexpr):
    """Take weights [BLOCK, TILE] by the largest of all: they, what those before fade by, it."""
    weight = tl.where(known[None, :], weight, -1e30)
    more = tl.maximum(most, tl.max(weight, 1) - LIFT)
    return tl.exp2(weight - more[:, None]), tl.exp2(most - more)[:, None], more


def plain_decode(qkv: Tensor, lines: Lines, heads: Heads, kept: Kept) -> Tensor:
    """What `decode` computes."""
    query = plain_rotate_and_store(qkv, lines, heads, kept)
    where = zip(lines.seats.tolist(), lines.places.tolist(), strict=True)
    rows = []
    for row, (seat, place) in zip(query, where, strict=True):
        key, value = gather(kept, lines.table[seat], place + 1, row.dtype)
        rows.append(attend(row[:, None], key, value, scale=heads.scale, enable_gqa=True))
    return torch.stack(rows).flatten(1)


def gather(kept: Kept, numbers: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Return the first `count` tokens of one sequence's pages, side by side: [2, K, count, d]."""
    pages = numbers[: -(-count // kept.page_tokens)].long()
    own = kept.read(pages, dtype).to(dtype)  # [M, 2, K, P, d]
    return own.permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :count]
