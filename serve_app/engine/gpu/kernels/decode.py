"""Attention of single tokens over their pages: turn, store and look in one kernel.

The past of a row is cut into splits, which are looked at side by side and then merged, so that few
rows with a long past fill the card as well as many with a short one. Of a few splits the last that
is done merges all; many are merged by a kernel of their own, side by side.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.arrivals import arrivals
from serve_app.engine.gpu.kernels.decode_shape import shape_for, splits_for
from serve_app.engine.gpu.kernels.early import early, wait
from serve_app.engine.gpu.kernels.new_token import ask, keep, look_at_own
from serve_app.engine.gpu.kernels.past import look_at_past
from serve_app.engine.gpu.kernels.rotary import plain_rotate_and_store
from serve_app.engine.gpu.kernels.softmax import plain_look
from serve_app.engine.gpu.kernels.splits import merge, merge_by_last, split_length
from serve_app.engine.gpu.step import Heads, Kept, Lines

# So that four programs are at once on a multiprocessor.
_LAUNCH = {"num_warps": 4, "num_stages": 2, "maxnreg": 128}
_LAUNCH_SCALED = {"num_warps": 2, "num_stages": 3}
# Begun early, these programs take room from the product before: on an H200 a step of one row took
# 5.37 ms instead of 4.69.
_LATE = {"EARLY": False}


def decode(
    qkv: Tensor, lines: Lines, heads: Heads, kept: Kept, out: Tensor, *, stored: bool = False
) -> None:
    """Look with B single tokens, `qkv` [B, (H + 2 * K) * d]; fill `out` [B, H * d].

    Their keys and values are kept, unless they are `stored` already: tokens of one sequence must
    be, to see each other. Each row has a page of its own for its new token, or the trash page if
    it only fills a graph.
    """
    rows, scaled = len(qkv), kept.scales is not None
    splits = splits_for(rows, heads)
    shape = shape_for(
        heads,
        lines.turns.cos.shape[1],
        kept.page_tokens,
        splits,
        stored=stored,
        scaled=scaled,
        card=qkv.is_cuda,
    )
    apart = (rows, heads.queries, splits)
    seen = out if splits == 1 else qkv.new_empty(*apart, heads.width, dtype=torch.float32)
    sums = seen if splits == 1 else qkv.new_empty(apart, dtype=torch.float32)
    _decode[(rows, heads.keys, splits)](
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
        heads.log2_scale,
        lines.table.stride(0),
        SHAPE=shape,
        **(_LATE if scaled else early(qkv)),
        **(_LAUNCH_SCALED if scaled else _LAUNCH),
    )
    if splits > 1 and not shape.merges:
        merge(seen, sums, lines.places, out, tile=shape.tile, stored=stored)


@triton.jit(do_not_specialize_on_alignment=["seats", "places"])
def _decode(
    qkv,  # [B, (group + 2) * keys * width]
    cos,  # [places, turned]
    sin,  # [places, turned]
    seats,  # [B]
    places,  # [B]: tokens already in the pages
    table,  # [seats, M]
    pages,  # [pages, 2, keys, page, width]
    words,  # the same, four numbers of 8 bits in each
    scales,  # [pages, 2, keys, page]
    seen,  # [B, keys * group, splits, width]
    sums,  # [B, keys * group, splits]: log2 of the sum of each split's weights
    out,  # [B, keys * group, width]: what is seen by all
    counters,  # [B, keys]
    scale,
    table_stride,
    SHAPE: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait(EARLY)
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    split = tl.program_id(2)
    past = tl.load(places + row)
    there = past + 1 if SHAPE.stored else past
    each = split_length(there, SHAPE.tile, SHAPE.splits)
    begin = split * each
    end = tl.minimum(begin + each, there)
    if (split > 0) & (begin >= there):
        return
    mine = table + tl.load(seats + row).to(tl.int64) * table_stride
    angle = past.to(tl.int64) * SHAPE.turned
    token = qkv + row * (SHAPE.group + 2) * SHAPE.keys * SHAPE.width
    query, key, value = ask(token, cos + angle, sin + angle, head, SHAPE)
    # The first split looks at the new token, which it has at hand, and stores it.
    first = split < 0 if SHAPE.stored else split == 0
    found = look_at_own(query, key, value, first, scale, SHAPE)
    kept = pages, words, scales
    if first:
        keep(key, value, kept, mine, past, head, SHAPE)
    found = look_at_past(query, found, kept, mine, head, begin, end, scale, SHAPE)
    rows = (row * SHAPE.keys + head) * SHAPE.group + tl.arange(0, SHAPE.block)
    _store(found, seen, sums, rows, split, SHAPE)
    if SHAPE.merges:
        done = counters + row * SHAPE.keys + head
        parts = tl.maximum(tl.cdiv(there, each), 1)
        merge_by_last(done, parts, seen, sums, out, rows, SHAPE)


@triton.jit
def _store(found, seen, sums, rows, split, SHAPE: tl.constexpr):
    """Write what a split has seen, and with what weight if others see more."""
    most, total, whole = found
    inside = tl.arange(0, SHAPE.block) < SHAPE.group
    at = tl.arange(0, SHAPE.width)
    to = seen + (rows[:, None] * SHAPE.splits + split) * SHAPE.width + at[None, :]
    tl.store(to, (whole / total[:, None]).to(seen.dtype.element_ty), mask=inside[:, None])
    if SHAPE.splits > 1:
        tl.store(sums + rows * SHAPE.splits + split, most + tl.log2(total), mask=inside)


def plain_decode(qkv: Tensor, lines: Lines, heads: Heads, kept: Kept) -> Tensor:
    """What `decode` computes."""
    query = plain_rotate_and_store(qkv, lines, heads, kept)
    where = zip(lines.seats.tolist(), lines.places.tolist(), strict=True)
    rows = [
        plain_look(row[None], lines.table[seat], place, heads, kept)
        for row, (seat, place) in zip(query, where, strict=True)
    ]
    return torch.cat(rows).flatten(1)
