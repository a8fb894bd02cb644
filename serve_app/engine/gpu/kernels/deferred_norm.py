"""RMS norm around a product: its weight goes in before, and the mean square is divided out after.

Who writes the residual stream writes it times the norm's weight as well, and sums of its squares.
So no pass over the stream stands between two products: the second one's result lacks one factor a
row.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.norm import Norm

COLUMNS = 64  # of the stream, a program: a tile
_LEAST = 16  # rows to which fewer are filled up for the tensor cores


@dataclass(frozen=True, slots=True)
class DeferredNorm:
    """A residual stream on its way into a product with its RMS norm."""

    rows: Tensor  # [M, K]: times the norm's weight
    squares: Tensor  # [tiles, M, filled up] float32: summed over each tile's columns
    norm: Norm


def filled(rows: int) -> int:
    """Fill rows up to a power of two that tensor cores take."""
    return max(_LEAST, 1 << (rows - 1).bit_length())


def unwritten(stream: Tensor, norm: Norm) -> DeferredNorm:
    """Return room for what is deferred of a stream [M, K]."""
    rows, width = stream.shape
    tiles = triton.cdiv(width, COLUMNS)
    squares = stream.new_empty(tiles, filled(rows), dtype=torch.float32)
    return DeferredNorm(torch.empty_like(stream), squares, norm)


def defer_norm(stream: Tensor, norm: Norm) -> DeferredNorm:
    """Prepare a stream [M, K] that no product has written."""
    deferred = unwritten(stream, norm)
    rows, width = stream.shape
    _defer[(triton.cdiv(width, COLUMNS),)](
        stream,
        norm.weight,
        deferred.rows,
        deferred.squares,
        rows,
        width,
        COLUMNS=COLUMNS,
        ROWS=filled(rows),
    )
    return deferred


@triton.jit(do_not_specialize=["rows"])
def _defer(
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
    store_deferred(x, gain, scaled, squares, tile, width, at, inside, COLUMNS, ROWS)


@triton.jit
def store_deferred(
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
    """Store a tile of the stream times the norm's weight, and the sums of its squares."""
    tl.store(squares + tile * ROWS + tl.arange(0, ROWS), tl.sum(x * x, 0))
    column = tile * COLUMNS + tl.arange(0, COLUMNS)
    gains = tl.load(gain + column, mask=column < wide, other=0.0).to(tl.float32)
    tl.store(scaled + cell, (x * gains[:, None]).to(scaled.dtype.element_ty), mask=inside)


@triton.jit
def deferred_factor(
    squares,  # [TILES, ROWS]
    epsilon,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    TILES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return what each row of a product still lacks, [1, ROWS]."""
    tile = tl.arange(0, BLOCK)[:, None]
    at = tile * ROWS + tl.arange(0, ROWS)[None, :]
    sums = tl.load(squares + at, mask=tile < TILES, other=0.0)
    return tl.rsqrt(tl.sum(sums, 0) / WIDTH + epsilon)[None, :]
