"""A new token's part of a step: it asks, is looked at, and is kept in its page.

SHAPE is a `decode_shape.Shape`.
"""

import triton
import triton.language as tl

from serve_app.engine.gpu.kernels.rotary import scale_of, turn
from serve_app.engine.gpu.kernels.softmax import HIDDEN


@triton.jit
def ask(token, cos, sin, head, SHAPE: tl.constexpr):
    """Return one head's queries [block, width], key and value [1, width] of a new token."""
    at = tl.arange(0, SHAPE.width)[None, :]
    member = tl.arange(0, SHAPE.block)
    one = tl.arange(0, 1)
    asks = token + (head * SHAPE.group + member)[:, None] * SHAPE.width + at
    query = tl.load(asks, mask=(member < SHAPE.group)[:, None], other=0.0)
    query = turn(query, member < SHAPE.group, cos, sin, SHAPE.block, SHAPE.width, SHAPE.turned)
    keys = token + SHAPE.keys * SHAPE.group * SHAPE.width
    key = tl.load(keys + (head + one)[:, None] * SHAPE.width + at)
    key = turn(key, one == 0, cos, sin, 1, SHAPE.width, SHAPE.turned)
    values = keys + SHAPE.keys * SHAPE.width
    value = tl.load(values + (head + one)[:, None] * SHAPE.width + at)
    return query, key, value


@triton.jit
def look_at_own(query, key, value, first, scale, SHAPE: tl.constexpr):
    """Look at the new token, if it is for this split: `most`, `total` [block, tile], `whole`."""
    logit = tl.sum(query.to(tl.float32) * key.to(tl.float32), 1) * scale
    most = tl.where(first, logit, HIDDEN) - SHAPE.lift
    weight = tl.where(first, 2.0**SHAPE.lift, 0.0)
    column = tl.arange(0, SHAPE.tile)
    total = tl.where(column == 0, weight, 0.0)[None, :]
    total += tl.full([SHAPE.block, SHAPE.tile], 0.0, tl.float32)
    whole = tl.full([SHAPE.block, SHAPE.width], 0.0, tl.float32)
    return most, total, value.to(tl.float32) * weight + whole


@triton.jit
def keep(key, value, kept, table, place, head, SHAPE: tl.constexpr):
    """Put a token's key and value [1, width] into their page."""
    page = tl.load(table + place // SHAPE.page).to(tl.int64)
    slot = (page * 2 * SHAPE.keys + head) * SHAPE.page + place % SHAPE.page
    _put(key, kept, slot, SHAPE)
    _put(value, kept, slot + SHAPE.keys * SHAPE.page, SHAPE)


@triton.jit
def _put(x, kept, slot, SHAPE: tl.constexpr):
    pages, _, scales = kept
    if SHAPE.scaled:
        scale = scale_of(x)
        tl.store(scales + slot + tl.arange(0, 1), scale)
        x = x.to(tl.float32) / scale[:, None]
    to = pages + slot * SHAPE.width + tl.arange(0, SHAPE.width)[None, :]
    tl.store(to, x.to(pages.dtype.element_ty))
