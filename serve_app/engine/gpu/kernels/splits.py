"""A past that is cut into splits: how long each is, and one result of all.

SHAPE is a `decode_shape.Shape`.
"""

import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.arrivals import has_come_last
from serve_app.engine.gpu.kernels.early import early, wait
from serve_app.engine.gpu.kernels.softmax import HIDDEN, add_part, nothing

_COLUMNS = 32  # numbers of a head that one program merges


@triton.jit
def split_length(past, TILE: tl.constexpr, SPLITS: tl.constexpr):
    """Tokens a split: whole tiles, at least one."""
    return tl.maximum(tl.cdiv(tl.cdiv(past, SPLITS), TILE), 1) * TILE


@triton.jit
def merge_by_last(done, parts, seen, sums, out, rows, SHAPE: tl.constexpr):
    """Merge all parts of some rows [block], if this program is the last to have stored its own."""
    if has_come_last(done, parts):
        _merge_all(seen, sums, out, rows, parts, SHAPE)


@triton.jit
def _merge_all(seen, sums, out, rows, parts, SHAPE: tl.constexpr):
    """Merge what other programs have stored: read past the cache of this multiprocessor."""
    at = tl.arange(0, SHAPE.width)
    inside = tl.arange(0, SHAPE.block) < SHAPE.group
    found = nothing(SHAPE.block, SHAPE.width)
    for split in range(parts):
        line = rows * SHAPE.splits + split
        its_sums = tl.load(sums + line, mask=inside, other=HIDDEN, cache_modifier=".cg")
        where = seen + line[:, None] * SHAPE.width + at[None, :]
        part = tl.load(where, mask=inside[:, None], other=0.0, cache_modifier=".cg")
        found = add_part(found, its_sums, part)
    _, total, whole = found
    to = out + rows[:, None] * SHAPE.width + at[None, :]
    tl.store(to, (whole / total[:, None]).to(out.dtype.element_ty), mask=inside[:, None])


def merge(
    seen: Tensor, sums: Tensor, places: Tensor, out: Tensor, *, tile: int, stored: bool
) -> None:
    """Merge `seen` [B, H, splits, d], weighted by 2 to the power of `sums`, into `out` [B, H * d].

    `stored`: whether the new token was kept before, and the past that was cut had it too.
    """
    rows, queries, splits, width = seen.shape
    columns = min(width, _COLUMNS)
    _merge[(rows, queries, width // columns)](
        seen,
        sums,
        places,
        out,
        WIDTH=width,
        COLUMNS=columns,
        TILE=tile,
        SPLITS=splits,
        STORED=stored,
        **early(out),
    )


@triton.jit(do_not_specialize_on_alignment=["places"])
def _merge(
    seen,  # [B, H, SPLITS, WIDTH]
    sums,  # [B, H, SPLITS]
    places,  # [B]
    out,  # [B, H, WIDTH]
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
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
    at = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    used = (split == 0) | (split * split_length(past, TILE, SPLITS) < past)
    weight = tl.load(sums + row * SPLITS + split, mask=used, other=HIDDEN)
    weight = tl.exp2(weight - tl.max(weight, 0))
    where = seen + (row * SPLITS + split)[:, None] * WIDTH + at[None, :]
    part = tl.load(where, mask=used[:, None], other=0.0)
    whole = tl.sum(part * weight[:, None], 0) / tl.sum(weight, 0)
    tl.store(out + row * WIDTH + at, whole.to(out.dtype.element_ty))
