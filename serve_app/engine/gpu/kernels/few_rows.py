"""Products of 2 to 32 rows with a weight: each weight is read once, as fast as memory gives it.

A program has a tile of the weight's rows, which the copy engine brings some steps ahead. Where
there are too few tiles to fill the card each is cut into parts, and the program that is done last
adds them up, always in the same order. What stands around a product is done on the way: bias, gate
and residual stream after it, and RMS norm before it: who writes the stream writes it times the
norm's weight as well, and sums of its squares, so that a product's result lacks one factor a row.
"""

from dataclasses import dataclass
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from serve_app.engine.gpu.kernels.arrivals import arrivals, has_come_last
from serve_app.engine.gpu.kernels.norm import Norm
from serve_app.engine.gpu.kernels.product import is_head

MOST_ROWS = 32  # beyond, what each program reads of the rows counts
_COPIES = (9, 10)  # generations of cards with the copy engine and room for tiles
_ALIGNED = 8  # numbers that a row must be a multiple of, for the copy engine
_LEAST = 16  # rows to which fewer are filled up for the tensor cores
_COLUMNS = 64  # of the result, a program


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether this kernel is right for so many rows of these numbers on this card.

    Not for float16, whose largest number a scaled stream may exceed, nor for float32, which tensor
    cores would round.
    """
    if len(x) > MOST_ROWS or weight.shape[1] % _ALIGNED:
        return False
    return not x.is_cuda or (x.dtype == torch.bfloat16 and _generation(x.device) in _COPIES)


@cache
def _generation(device: torch.device) -> int:
    return torch.cuda.get_device_capability(device)[0]


@dataclass(frozen=True, slots=True)
class Scaled:
    """A residual stream on its way into a product with its RMS norm."""

    rows: Tensor  # [M, K]: times the norm's weight
    squares: Tensor  # [tiles, M, filled up] float32: summed over each tile's columns
    epsilon: float


def multiply(
    x: Tensor | Scaled,
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
    rows = x.rows if isinstance(x, Scaled) else x
    wide = len(weight) // (2 if gated else 1)
    out = rows.new_empty(len(rows), wide) if into is None else into
    before = x if isinstance(x, Scaled) else None
    _launch(rows, weight, out, before=before, bias=bias, gated=gated)
    return out


def add(x: Tensor, weight: Tensor, stream: Tensor, norm: Norm) -> Scaled:
    """Add the product to `stream` [M, N] in place; return its sum, scaled for the next one."""
    scaled = _scaled(stream, norm)
    _launch(x, weight, stream, gain=norm.weight, scaled=scaled)
    return scaled


def scale(stream: Tensor, norm: Norm) -> Scaled:
    """Scale a stream [M, K] that no product has written."""
    scaled = _scaled(stream, norm)
    rows, width = stream.shape
    _scale[(triton.cdiv(width, _COLUMNS),)](
        stream,
        norm.weight,
        scaled.rows,
        scaled.squares,
        rows,
        width,
        COLUMNS=_COLUMNS,
        ROWS=_filled(rows),
    )
    return scaled


def _scaled(stream: Tensor, norm: Norm) -> Scaled:
    rows, width = stream.shape
    tiles = triton.cdiv(width, _COLUMNS)
    squares = stream.new_empty(tiles, _filled(rows), dtype=torch.float32)
    return Scaled(torch.empty_like(stream), squares, norm.epsilon)


def _filled(rows: int) -> int:
    return max(_LEAST, 1 << (rows - 1).bit_length())


def _launch(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    *,
    before: Scaled | None = None,
    bias: Tensor | None = None,
    gated: bool = False,
    gain: Tensor | None = None,
    scaled: Scaled | None = None,
) -> None:
    rows, width = x.shape
    wide, filled = out.shape[1], _filled(rows)
    shape = _shape(x, weight, gated=gated)
    tiles = triton.cdiv(wide, _COLUMNS)
    each = shape.parts * _COLUMNS * filled
    squares = 0 if before is None else len(before.squares)
    _few_rows[(tiles * shape.parts,)](
        TensorDescriptor(x, [rows, width], [width, 1], [filled, shape.step]),
        TensorDescriptor(weight, list(weight.shape), [width, 1], [_COLUMNS, shape.step]),
        out if before is None else before.squares,
        out if bias is None else bias,
        out,
        out if gain is None else gain,
        out if scaled is None else scaled.rows,
        out if scaled is None else scaled.squares,
        out if shape.parts == 1 else x.new_empty(tiles * each, dtype=torch.float32),
        arrivals(x.device, tiles, shape.parts),
        rows,
        wide,
        0.0 if before is None else before.epsilon,
        WIDTH=width,
        COLUMNS=_COLUMNS,
        ROWS=filled,
        STEP=shape.step,
        PARTS=shape.parts,
        SQUARES=squares,
        BLOCK=triton.next_power_of_2(max(1, squares)),
        BIAS=bias is not None,
        GATED=gated,
        ADDS=scaled is not None,
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
    return _SHAPES[_filled(len(x))][kind]


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
    arrivals,  # [tiles]
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
        is_last, so_far = _gather(so_far, apart, arrivals, tile, part, COLUMNS, ROWS, PARTS)
    if is_last:
        if SQUARES > 0:
            unit = _unit(before, epsilon, WIDTH, ROWS, SQUARES, BLOCK)
            so_far *= unit
            up *= unit
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
            _store_scaled(so_far, gain, scaled, squares, tile, wide, cell, inside, COLUMNS, ROWS)
        tl.store(out + cell, so_far.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gather(
    so_far,  # [COLUMNS, ROWS]
    apart,
    arrivals,
    tile,
    part,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    PARTS: tl.constexpr,
):
    """Store a part of a tile; the program that is last reads all, past its own cache."""
    cell = tl.arange(0, COLUMNS)[:, None] * ROWS + tl.arange(0, ROWS)[None, :]
    first = apart + tile * PARTS * COLUMNS * ROWS + cell
    tl.store(first + part * COLUMNS * ROWS, so_far)
    is_last = has_come_last(arrivals + tile, PARTS)
    if is_last:
        so_far = tl.load(first, cache_modifier=".cg")
        for other in tl.static_range(1, PARTS):
            so_far += tl.load(first + other * COLUMNS * ROWS, cache_modifier=".cg")
    return is_last, so_far


@triton.jit
def _unit(
    before,
    epsilon,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    SQUARES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The factor of each row that makes it normal."""
    tile = tl.arange(0, BLOCK)[:, None]
    at = tile * ROWS + tl.arange(0, ROWS)[None, :]
    squares = tl.load(before + at, mask=tile < SQUARES, other=0.0)
    return tl.rsqrt(tl.sum(squares, 0) / WIDTH + epsilon)[None, :]


@triton.jit
def _store_scaled(
    x,  # [COLUMNS, ROWS] float32
    gain,
    scaled,
    squares,
    tile,
    wide,
    cell,
    inside,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    tl.store(squares + tile * ROWS + tl.arange(0, ROWS), tl.sum(x * x, 0))
    column = tile * COLUMNS + tl.arange(0, COLUMNS)
    gains = tl.load(gain + column, mask=column < wide, other=0.0).to(tl.float32)
    tl.store(scaled + cell, (x * gains[:, None]).to(scaled.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def _scale(
    stream,  # [rows, width]
    gain,  # [width]
    scaled,  # [rows, width]
    squares,  # [tiles, ROWS]
    rows,
    width,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    tile = tl.program_id(0)
    column = tile * COLUMNS + tl.arange(0, COLUMNS)
    row = tl.arange(0, ROWS)
    at = row[None, :] * width + column[:, None]
    inside = (column < width)[:, None] & (row < rows)[None, :]
    x = tl.load(stream + at, mask=inside, other=0.0).to(tl.float32)
    _store_scaled(x, gain, scaled, squares, tile, width, at, inside, COLUMNS, ROWS)
