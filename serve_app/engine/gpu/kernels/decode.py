"""Attention of single tokens over their pages: turn, store and look in one kernel.

The past of a row is cut into splits, which are looked at side by side and then merged, so that few
rows with a long past fill the card as well as many with a short one. Of a few splits the last that
is done merges all; many are merged by a kernel of their own, side by side.
"""

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from serve_app.engine.gpu.kernels.early import early, wait
from serve_app.engine.gpu.kernels.rotary import plain_rotate_and_store, scale_of, turn
from serve_app.engine.gpu.step import Heads, Kept, Lines

_TILE = 64  # tokens looked at in one turn of the loop
_FULL = 256  # programs at which the card is full: about two for each multiprocessor of an H200
_ENOUGH = 512  # programs to which a few rows are cut
_WARPS, _WARPS_SCALED = 4, 2
LIFT = 1024.0  # keeps a weight times a scale among the numbers of float16
_SPLITS = (1, 2, 4, 8, 32, 128)  # each is compiled once
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
    merges = 1 < splits <= _MERGED
    _look[(rows, heads.keys, splits)](
        qkv,
        lines.turns.cos,
        lines.turns.sin,
        lines.seats,
        lines.places,
        lines.table,
        kept.pages,
        kept.pages if kept.scales is None else kept.scales,
        seen,
        sums,
        out,
        _arrivals(qkv.device),
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
        LIFT=LIFT if scaled else 1.0,
        STORED=stored,
        MERGES=merges,
        **early(qkv),
        num_warps=_WARPS_SCALED if scaled else _WARPS,
        num_stages=3,
    )
    if splits > _MERGED:
        _merge[(rows, heads.queries)](
            seen,
            sums,
            lines.places,
            out,
            WIDTH=heads.width,
            TILE=_TILE,
            SPLITS=splits,
            STORED=stored,
            **early(qkv),
        )


@cache
def _arrivals(device: torch.device) -> Tensor:
    """How many splits of each row and head are done; 0 again once all are."""
    return torch.zeros(_FULL, dtype=torch.int32, device=device)


@triton.jit(do_not_specialize_on_alignment=["seats", "places"])
def _look(
    qkv,  # [B, (KEYS * GROUP + 2 * KEYS) * WIDTH]
    cos,  # [places, TURNED]
    sin,  # [places, TURNED]
    seats,  # [B]
    places,  # [B]: tokens already in the pages
    table,  # [seats, M]
    pages,  # [pages, 2, KEYS, PAGE, WIDTH]
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
    LIFT: tl.constexpr,  # what is summed up is so much larger than what is returned
    STORED: tl.constexpr,
    MERGES: tl.constexpr,
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

    at = tl.arange(0, WIDTH)
    member = tl.arange(0, BLOCK)
    inside = (member < GROUP)[:, None]
    token = qkv + row * (GROUP + 2) * KEYS * WIDTH
    angle = past.to(tl.int64) * TURNED
    c, s = cos + angle, sin + angle
    asks = token + (head * GROUP + member)[:, None] * WIDTH + at[None, :]
    query = tl.load(asks, mask=inside, other=0.0)
    query = turn(query, member < GROUP, c, s, BLOCK, WIDTH, TURNED)
    one = tl.arange(0, 1)
    key = tl.load(token + (KEYS * GROUP + head + one)[:, None] * WIDTH + at[None, :])
    key = turn(key, one == 0, c, s, 1, WIDTH, TURNED)  # [1, WIDTH]
    value = tl.load(token + (KEYS * (GROUP + 1) + head + one)[:, None] * WIDTH + at[None, :])

    # The first split looks at the new token, which it has at hand, and stores it.
    new = tl.sum(query.to(tl.float32) * key.to(tl.float32), 1) * scale
    first = split < 0 if STORED else split == 0
    most = tl.where(first, new, -1e30)
    total = tl.where(first, tl.full([BLOCK], 1.0, tl.float32), 0.0)
    so_far = tl.where(first, value.to(tl.float32) * LIFT, tl.zeros([BLOCK, WIDTH], tl.float32))
    page = tl.load(mine + past // PAGE).to(tl.int64)
    line = (page * 2 * KEYS + head) * PAGE + past % PAGE
    values = KEYS * PAGE  # from a token's keys to its values
    store = at[None, :] < tl.where(first, WIDTH, 0)
    to = pages + line * WIDTH + at[None, :]
    if SCALED:
        key_scale, value_scale = scale_of(key), scale_of(value)
        only = one < tl.where(first, 1, 0)
        tl.store(scales + line + one, key_scale, mask=only)
        tl.store(scales + line + values + one, value_scale, mask=only)
        key = key.to(tl.float32) / key_scale[:, None]
        value = value.to(tl.float32) / value_scale[:, None]
        query = query.to(tl.float16)
    tl.store(to, key.to(pages.dtype.element_ty), mask=store)
    tl.store(to + values * WIDTH, value.to(pages.dtype.element_ty), mask=store)

    step = tl.arange(0, TILE)
    for tile in tl.range(begin, end, TILE):
        place = tile + step
        known = place < end
        if PAGE % TILE == 0:
            number = tl.load(mine + tile // PAGE).to(tl.int64)
        else:
            number = tl.load(mine + place // PAGE, mask=known, other=0).to(tl.int64)
        slot = (number * 2 * KEYS + head) * PAGE + place % PAGE  # [TILE]
        where = pages + slot[:, None] * WIDTH + at[None, :]
        keys = tl.load(where, mask=known[:, None], other=0.0)
        theirs = tl.load(where + values * WIDTH, mask=known[:, None], other=0.0)
        weight = tl.dot(query, tl.trans(keys.to(query.dtype))) * scale  # [BLOCK, TILE]
        if SCALED:
            weight *= tl.load(scales + slot, mask=known, other=0.0)[None, :]
        weight = tl.where(known[None, :], weight, -1e30)
        more = tl.maximum(most, tl.max(weight, 1))
        weight = tl.exp2(weight - more[:, None])
        fade = tl.exp2(most - more)
        total = total * fade + tl.sum(weight, 1)
        so_far = so_far * fade[:, None]
        if SCALED:
            lift = tl.load(scales + slot + values, mask=known, other=0.0) * LIFT
            weight *= lift[None, :]
        so_far = tl.dot(weight.to(query.dtype), theirs.to(query.dtype), so_far)
        most = more

    rows = (row * KEYS + head) * GROUP + member
    so_far = so_far / (total * LIFT)[:, None]
    to = seen + (rows[:, None] * SPLITS + split) * WIDTH + at[None, :]
    tl.store(to, so_far.to(seen.dtype.element_ty), mask=inside)
    if SPLITS > 1:
        tl.store(sums + rows * SPLITS + split, most + tl.log2(total), mask=member < GROUP)
    if MERGES:
        tl.debug_barrier()  # all of the program's threads have stored their part
        done = arrivals + row * KEYS + head
        parts = tl.maximum(tl.cdiv(there, each), 1)
        if tl.atomic_add(done, 1) == parts - 1:
            tl.store(done, 0)
            _merge_all(seen, sums, out, rows, parts, GROUP, BLOCK, WIDTH, SPLITS)


@triton.jit
def split_length(past, TILE: tl.constexpr, SPLITS: tl.constexpr):
    """Tokens a split: whole tiles, at least one."""
    return tl.maximum(tl.cdiv(tl.cdiv(past, SPLITS), TILE), 1) * TILE


@triton.jit
def _merge_all(
    seen,
    sums,
    out,
    rows,  # [BLOCK]
    parts,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
    SPLITS: tl.constexpr,
):
    """Merge what other programs have stored: read past the cache of this multiprocessor."""
    at = tl.arange(0, WIDTH)
    inside = tl.arange(0, BLOCK) < GROUP
    most = tl.full([BLOCK], -1e30, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    whole = tl.zeros([BLOCK, WIDTH], tl.float32)
    for split in range(parts):
        line = rows * SPLITS + split
        its = tl.load(sums + line, mask=inside, other=-1e30, cache_modifier=".cg")
        where = seen + line[:, None] * WIDTH + at[None, :]
        part = tl.load(where, mask=inside[:, None], other=0.0, cache_modifier=".cg")
        more = tl.maximum(most, its)
        fade, share = tl.exp2(most - more), tl.exp2(its - more)
        whole = whole * fade[:, None] + part * share[:, None]
        total = total * fade + share
        most = more
    to = out + rows[:, None] * WIDTH + at[None, :]
    tl.store(to, (whole / total[:, None]).to(out.dtype.element_ty), mask=inside[:, None])


@triton.jit(do_not_specialize_on_alignment=["places"])
def _merge(
    seen,  # [B, H, SPLITS, WIDTH]
    sums,  # [B, H, SPLITS]
    places,  # [B]
    out,  # [B, H, WIDTH]
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
    SPLITS: tl.constexpr,
    STORED: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait(EARLY)
    past = tl.load(places + tl.program_id(0))
    past = past + 1 if STORED else past
    row = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    split = tl.arange(0, SPLITS)
    at = tl.arange(0, WIDTH)
    used = (split == 0) | (split * split_length(past, TILE, SPLITS) < past)
    weight = tl.load(sums + row * SPLITS + split, mask=used, other=-1e30)
    weight = tl.exp2(weight - tl.max(weight, 0))
    part = tl.load(
        seen + (row * SPLITS + split)[:, None] * WIDTH + at[None, :], mask=used[:, None], other=0.0
    )
    whole = tl.sum(part * weight[:, None], 0) / tl.sum(weight, 0)
    tl.store(out + row * WIDTH + at, whole.to(out.dtype.element_ty))


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
