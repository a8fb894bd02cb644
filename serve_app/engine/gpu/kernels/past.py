"""What one token's queries see of a past that lies in pages, tile by tile.

SHAPE is a `decode_shape.Shape`. What is `found` is as in `softmax`, but for `total`, which is
summed over tokens in the end only: until then [block, tile].
"""

import triton
import triton.language as tl

from serve_app.engine.gpu.kernels.fp8 import join, part, unpack
from serve_app.engine.gpu.kernels.softmax import HIDDEN, weigh


@triton.jit
def look_at_past(query, found, kept, table, head, begin, end, scale, SHAPE: tl.constexpr):
    """Look at the tokens from begin to end too.

    `kept` is the pages, the same as words, and their scales; `table` [M] the sequence's pages.
    """
    most, total, whole = found
    if SHAPE.scaled:
        query = query.to(tl.float16)
        whole = part(whole, SHAPE.block, SHAPE.width)
    step = tl.arange(0, SHAPE.tile)
    page = _page(table, begin, end, SHAPE)
    for tile in tl.range(begin, end, SHAPE.tile):
        known = tile + step < end
        offset = tile % SHAPE.page + step if SHAPE.aligned else (tile + step) % SHAPE.page
        slot = (page * 2 * SHAPE.keys + head) * SHAPE.page + offset  # [tile]
        page = _page(table, tile + SHAPE.tile, end, SHAPE)  # the next tile's need not wait
        so_far = most, total, whole
        if SHAPE.scaled:
            most, total, whole = _look_scaled(query, so_far, kept, slot, known, scale, SHAPE)
        else:
            most, total, whole = _look(query, so_far, kept, slot, known, scale, SHAPE)
    if SHAPE.scaled:
        whole = join(whole, SHAPE.block, SHAPE.width)
    return most, tl.sum(total, 1), whole


@triton.jit
def _page(table, tile, end, SHAPE: tl.constexpr):
    """Say where the tokens of a tile are: all in one page, or each in its own of [tile]."""
    place = tile
    if not SHAPE.aligned:
        place += tl.arange(0, SHAPE.tile)
    return tl.load(table + place // SHAPE.page, mask=place < end, other=0).to(tl.int64)


@triton.jit
def _look(query, found, kept, slot, known, scale, SHAPE: tl.constexpr):
    """Look at a tile of keys and values that are kept as they are."""
    most, total, whole = found
    pages, _, _ = kept
    logits = _logits(query, pages, slot, scale, SHAPE)
    weights, fade, most = weigh(tl.where(known[None, :], logits, HIDDEN), most, SHAPE.lift)
    total = total * fade[:, None] + weights
    slot += SHAPE.keys * SHAPE.page
    where = pages + slot[:, None] * SHAPE.width + tl.arange(0, SHAPE.width)[None, :]
    values = tl.load(where, mask=known[:, None], other=0.0)
    return most, total, tl.dot(weights.to(query.dtype), values, whole * fade[:, None])


@triton.jit
def _look_scaled(query, found, kept, slot, known, scale, SHAPE: tl.constexpr):
    """Look at a tile of keys and values in 8 bits; `whole` is parted as their words are."""
    most, total, whole = found
    pages, words, scales = kept
    logits = _logits(query, pages, slot, scale, SHAPE) * tl.load(scales + slot)[None, :]
    weights, fade, most = weigh(tl.where(known[None, :], logits, HIDDEN), most, SHAPE.lift)
    total = total * fade[:, None] + weights
    slot += SHAPE.keys * SHAPE.page
    weights *= tl.load(scales + slot, mask=known, other=0.0)[None, :]
    where = words + slot[:, None] * (SHAPE.width // 4) + tl.arange(0, SHAPE.width // 4)[None, :]
    values = unpack(tl.load(where, mask=known[:, None], other=0), SHAPE.card)
    weights, fade = weights.to(query.dtype), fade[:, None]
    whole = (
        tl.dot(weights, values[0], whole[0] * fade),
        tl.dot(weights, values[1], whole[1] * fade),
        tl.dot(weights, values[2], whole[2] * fade),
        tl.dot(weights, values[3], whole[3] * fade),
    )
    return most, total, whole


@triton.jit
def _logits(query, pages, slot, scale, SHAPE: tl.constexpr):
    """Multiply queries with a tile's keys: [block, tile]."""
    where = pages + slot[:, None] * SHAPE.width + tl.arange(0, SHAPE.width)[None, :]
    return tl.dot(query, tl.trans(tl.load(where).to(query.dtype))) * scale
