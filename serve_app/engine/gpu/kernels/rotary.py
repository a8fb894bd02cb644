"""Turn queries and keys by their place, and put keys and values into their pages, in one pass."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.early import early, wait
from serve_app.engine.gpu.step import LEAST, MOST, Heads, Kept, Lines


def rotate_and_store(qkv: Tensor, lines: Lines, heads: Heads, kept: Kept) -> Tensor:
    """Write keys and values of `qkv` [T, (H + 2 * K) * d] into pages; return queries [T, H, d]."""
    query = qkv.new_empty(len(qkv), heads.queries, heads.width)
    _rotate_and_store[(len(qkv),)](
        qkv,
        lines.turns.cos,
        lines.turns.sin,
        lines.seats,
        lines.places,
        lines.table,
        query,
        kept.pages,
        kept.pages if kept.scales is None else kept.scales,
        lines.table.stride(0),
        QUERIES=heads.queries,
        KEYS=heads.keys,
        WIDTH=heads.width,
        TURNED=lines.turns.cos.shape[1],
        PAGE=kept.page_tokens,
        SCALED=kept.scales is not None,
        BLOCK=triton.next_power_of_2(heads.queries + 2 * heads.keys),
        **early(qkv),
    )
    return query


_MOST = tl.constexpr(MOST)
_LEAST = tl.constexpr(LEAST)


@triton.jit(do_not_specialize_on_alignment=["seats", "places"])
def _rotate_and_store(
    qkv,  # [T, (QUERIES + 2 * KEYS) * WIDTH]
    cos,  # [places, TURNED]
    sin,  # [places, TURNED]
    seats,  # [T]
    places,  # [T]
    table,  # [seats, M]: pages of each seat
    query,  # [T, QUERIES, WIDTH]
    pages,  # [pages, 2, KEYS, PAGE, WIDTH]
    scales,  # [pages, 2, KEYS, PAGE]
    table_stride,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    WIDTH: tl.constexpr,
    TURNED: tl.constexpr,
    PAGE: tl.constexpr,
    SCALED: tl.constexpr,
    BLOCK: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait(EARLY)
    token = tl.program_id(0).to(tl.int64)
    place = tl.load(places + token)
    page = tl.load(table + tl.load(seats + token).to(tl.int64) * table_stride + place // PAGE)
    head = tl.arange(0, BLOCK)
    at = tl.arange(0, WIDTH)
    inside = (head < QUERIES + 2 * KEYS)[:, None]
    row = qkv + token * (QUERIES + 2 * KEYS) * WIDTH
    x = tl.load(row + head[:, None] * WIDTH + at[None, :], mask=inside, other=0.0)
    turns = head < QUERIES + KEYS
    angle = place.to(tl.int64) * TURNED
    turned = turn(x, turns, cos + angle, sin + angle, BLOCK, WIDTH, TURNED)
    is_query = (head < QUERIES)[:, None]
    to = query + (token * QUERIES + head[:, None]) * WIDTH + at[None, :]
    tl.store(to, turned, mask=is_query)
    line = (page.to(tl.int64) * 2 * KEYS + (head - QUERIES)) * PAGE + place % PAGE
    to = pages + line[:, None] * WIDTH + at[None, :]
    stays = (head >= QUERIES) & (head < QUERIES + 2 * KEYS)
    if SCALED:
        scale = scale_of(turned)
        tl.store(scales + line, scale, mask=stays)
        turned = turned.to(tl.float32) / scale[:, None]
    tl.store(to, turned.to(pages.dtype.element_ty), mask=stays[:, None])


@triton.jit
def scale_of(x):
    """What the numbers of each row of x [ROWS, WIDTH] are divided by to fit into 8 bits."""
    return tl.maximum(tl.max(tl.abs(x.to(tl.float32)), 1), _LEAST) / _MOST


@triton.jit
def turn(x, turns, cos, sin, ROWS: tl.constexpr, WIDTH: tl.constexpr, TURNED: tl.constexpr):
    """Turn the first pairs of each row of x [ROWS, WIDTH] for which `turns` [ROWS] holds."""
    pair = tl.arange(0, WIDTH // 2)
    c = tl.load(cos + pair, mask=pair < TURNED, other=1.0)[None, :]
    s = tl.load(sin + pair, mask=pair < TURNED, other=0.0)[None, :]
    c = tl.where(turns[:, None], c, 1.0)
    s = tl.where(turns[:, None], s, 0.0)
    even, odd = tl.split(tl.reshape(x.to(tl.float32), (ROWS, WIDTH // 2, 2)))
    both = tl.join(even * c - odd * s, odd * c + even * s)
    return tl.reshape(both, (ROWS, WIDTH)).to(x.dtype)


def plain_rotate_and_store(qkv: Tensor, lines: Lines, heads: Heads, kept: Kept) -> Tensor:
    """What `rotate_and_store` computes."""
    size = kept.page_tokens
    query, key, value = heads.split(qkv)
    seats, places = lines.seats.long(), lines.places.long()
    page = lines.table[seats, places // size].long()
    cos, sin = lines.turns.cos[places], lines.turns.sin[places]
    kept.write((page, 0, slice(None), places % size), plain_turn(key, cos, sin))
    kept.write((page, 1, slice(None), places % size), value)
    return plain_turn(query, cos, sin)


def plain_turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the first pairs of x [T, heads, d] by angles given as cos and sin [T, pairs]."""
    turned = 2 * cos.shape[1]
    even, odd = x[..., 0:turned:2].float(), x[..., 1:turned:2].float()
    c, s = cos[:, None], sin[:, None]
    both = torch.stack((even * c - odd * s, odd * c + even * s), dim=-1).flatten(-2)
    return torch.cat((both.to(x.dtype), x[..., turned:]), dim=-1)
