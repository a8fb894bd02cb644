"""Products of 2 to 32 rows with a weight: each weight is read once, as fast as memory gives it.

A program has a tile of the weight's rows, which the copy engine brings some steps ahead. Where
there are too few tiles to fill the card each is cut into parts, and the program that is done last
adds them up, always in the same order. What stands around a product is done on the way: bias, gate
and residual stream after it, and the RMS norm before it, which is deferred.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from serve_app.engine.gpu.kernels.arrivals import arrivals, has_come_last, sum_parts
from serve_app.engine.gpu.kernels.card import generation
from serve_app.engine.gpu.kernels.deferred_norm import (
    COLUMNS,
    DeferredNorm,
    deferred_factor,
    filled,
    store_deferred,
    unwritten,
)
from serve_app.engine.gpu.kernels.norm import Norm
from serve_app.engine.gpu.kernels.product import empty_result, is_head

MOST_ROWS = 32  # beyond, what each program reads of the rows counts
_COPIES = (9, 10)  # generations of cards with the copy engine and room for tiles
_ALIGNED = 8  # numbers that a row must be a multiple of, for the copy engine


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether this kernel is right for so many rows of these numbers on this card.

    Not for float16, whose largest number a scaled stream may exceed, nor for float32, which tensor
    cores would round.
    """
    if len(x) > MOST_ROWS or weight.shape[1] % _ALIGNED:
        return False
    return not x.is_cuda or (x.dtype == torch.bfloat16 and generation(x.device) in _COPIES)


def multiply(
    x: Tensor | DeferredNorm,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    gated: bool = False,
    into: Tensor | None = None,
) -> Tensor:
    """Multiply x [M, K] with weight [N, K]: [M, N].

    With `gated`, weight is gate and up and the result their SwiGLU, [M, N / 2]; with `into`
    [M, N], it is written there.
    """
    rows, before = (x.rows, x) if isinstance(x, DeferredNorm) else (x, None)
    out = empty_result(rows, weight, gated=gated) if into is None else into
    _launch(rows, weight, out, before=before, bias=bias, gated=gated)
    return out


def add(x: Tensor, weight: Tensor, stream: Tensor, norm: Norm) -> DeferredNorm:
    """Add the product to `stream` [M, N] in place; prepare their sum for the next one."""
    after = unwritten(stream, norm)
    _launch(x, weight, stream, after=after)
    return after


def _launch(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    *,
    before: DeferredNorm | None = None,
    bias: Tensor | None = None,
    gated: bool = False,
    after: DeferredNorm | None = None,
) -> None:
    rows, width = x.shape
    wide, height = out.shape[1], filled(rows)
    shape = _shape(x, weight, gated=gated)
    tiles = triton.cdiv(wide, COLUMNS)
    each = shape.parts * COLUMNS * height
    squares = 0 if before is None else len(before.squares)
    _few_rows[(tiles * shape.parts,)](
        TensorDescriptor(x, [rows, width], [width, 1], [height, shape.step]),
        TensorDescriptor(weight, list(weight.shape), [width, 1], [COLUMNS, shape.step]),
        out if before is None else before.squares,
        out if bias is None else bias,
        out,
        out if after is None else after.norm.weight,
        out if after is None else after.rows,
        out if after is None else after.squares,
        out if shape.parts == 1 else x.new_empty(tiles * each, dtype=torch.float32),
        arrivals(x.device, tiles, shape.parts),
        rows,
        wide,
        0.0 if before is None else before.norm.epsilon,
        WIDTH=width,
        COLUMNS=COLUMNS,
        ROWS=height,
        STEP=shape.step,
        PARTS=shape.parts,
        SQUARES=squares,
        BLOCK=triton.next_power_of_2(max(1, squares)),
        BIAS=bias is not None,
        GATED=gated,
        ADDS=after is not None,
        num_warps=4,
        num_stages=shape.stages,
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    step: int  # numbers of a weight's row in one turn of the loop
    stages: int
    parts: int = 1  # into which a weight's row is cut


# Found by measuring chains of all products of GLM-4-9B on an H200; by rows, filled up.
_SHAPES = {
    16: {
        "gate": _Shape(128, 3),
        "head": _Shape(128, 5),
        "wide": _Shape(128, 5, parts=2),
        "square": _Shape(128, 5, parts=4),
    },
    32: {
        "gate": _Shape(64, 5),
        "head": _Shape(128, 4),
        "wide": _Shape(128, 4, parts=2),
        "square": _Shape(128, 4, parts=4),
    },
}


def _shape(x: Tensor, weight: Tensor, *, gated: bool) -> _Shape:
    wide, width = weight.shape
    kind = "gate" if gated else "head" if is_head(wide) else "wide" if wide > width else "square"
    return _SHAPES[filled(len(x))][kind]


@triton.jit(do_not_specialize=["rows"])
def _few_rows(
    x,  # [rows, WIDTH], in tiles of [ROWS, STEP]
    weight,  # [N, WIDTH], or [2 * N, WIDTH] if GATED, in tiles of [COLUMNS, STEP]
    before,  # [SQUARES, ROWS]: squares of the stream that x was scaled from
    bias,  # [N]
    out,  # [rows, N]
    gain,  # [N]
    scaled,  # [rows, N]
    squares,  # [tiles, ROWS]
    apart,  # [tiles, PARTS, COLUMNS, ROWS]
    counters,  # [tiles]
    rows,
    wide,
    epsilon,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    STEP: tl.constexpr,
    PARTS: tl.constexpr,
    SQUARES: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    GATED: tl.constexpr,
    ADDS: tl.constexpr,
):
    tile = tl.program_id(0) // PARTS
    part = tl.program_id(0) % PARTS
    first = tile * COLUMNS
    each: tl.constexpr = (WIDTH + STEP * PARTS - 1) // (STEP * PARTS) * STEP
    begin = part * each
    so_far = tl.zeros([COLUMNS, ROWS], tl.float32)
    up = tl.zeros([COLUMNS, ROWS], tl.float32)
    for at in tl.range(begin, tl.minimum(begin + each, WIDTH), STEP):
        numbers = x.load([0, at]).T
        so_far = tl.dot(weight.load([first, at]), numbers, so_far)
        if GATED:
            up = tl.dot(weight.load([wide + first, at]), numbers, up)
    is_last = True
    if PARTS > 1:
        is_last, so_far = _gather(so_far, apart, counters, tile, part, COLUMNS, ROWS, PARTS)
    if is_last:
        if SQUARES > 0:
            factor = deferred_factor(before, epsilon, WIDTH, ROWS, SQUARES, BLOCK)
            so_far *= factor
            up *= factor
        column = first + tl.arange(0, COLUMNS)
        if BIAS:
            so_far += tl.load(bias + column, mask=column < wide, other=0.0).to(tl.float32)[:, None]
        if GATED:
            so_far = up * so_far * tl.sigmoid(so_far)
        row = tl.arange(0, ROWS)
        cell = row[None, :] * wide + column[:, None]
        inside = (column < wide)[:, None] & (row < rows)[None, :]
        if ADDS:
            # The product is rounded before it is added, as in a layer that stores it.
            so_far = so_far.to(out.dtype.element_ty).to(tl.float32)
            so_far += tl.load(out + cell, mask=inside, other=0.0).to(tl.float32)
            so_far = so_far.to(out.dtype.element_ty).to(tl.float32)
            store_deferred(so_far, gain, scaled, squares, tile, wide, cell, inside, COLUMNS, ROWS)
        tl.store(out + cell, so_far.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gather(
    so_far,  # [COLUMNS, ROWS]
    apart,
    counters,
    tile,
    part,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Store a part of a tile; the program that is last adds all up."""
    cell = tl.arange(0, COLUMNS)[:, None] * ROWS + tl.arange(0, ROWS)[None, :]
    first = apart + tile * PARTS * COLUMNS * ROWS + cell
    tl.store(first + part * COLUMNS * ROWS, so_far)
    is_last = has_come_last(counters + tile, PARTS)
    if is_last:
        so_far = sum_parts(first, True, COLUMNS * ROWS, PARTS)
    return is_last, so_far
