"""Products of up to 64 rows with a packed weight, which is read once, in its 8 or 4 bits.

It is widened in registers on its way to the tensor cores: only weights are rounded, never what
they multiply. Where there are too few tiles to fill the card the weight's rows are cut into splits,
and the program that is done last adds them up.
"""

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.arrivals import arrivals, has_come_last, sum_parts
from serve_app.engine.gpu.kernels.codes import nf4_values, widen
from serve_app.engine.gpu.kernels.product import plain_product
from serve_app.engine.gpu.kernels.unpacked import plain_unpack
from serve_app.engine.gpu.packed import BLOCK, Packed

MOST_ROWS = 64  # beyond, a whole weight is unpacked
_TENSOR_ROWS = 16  # rows a tensor core takes at once


def multiply(
    x: Tensor, weight: Packed, *, bias: Tensor | None = None, gated: bool = False
) -> Tensor:
    """Multiply x [M, K] with weight [N, K]: [M, N]; M is at most MOST_ROWS.

    With `gated`, weight is gate and up and the result their SwiGLU, [M, N / 2].
    """
    rows, width = x.shape
    sides = 2 if gated else 1
    wide = len(weight.groups) // sides
    out = x.new_empty(rows, wide)
    shape = _SHAPES[weight.kind][rows > _TENSOR_ROWS]
    tiles = triton.cdiv(wide, shape.columns)
    splits = _splits(tiles, shape)
    parts = x.new_empty(splits, sides, rows, wide, dtype=torch.float32) if splits > 1 else out
    _packed_rows[(tiles, splits)](
        x,
        weight.groups,
        weight.scales,
        nf4_values(x.device),
        out if bias is None else bias,
        out,
        parts,
        arrivals(x.device, tiles, splits),
        rows,
        wide,
        WIDTH=width,
        COLUMNS=shape.columns,
        BLOCKS=math.gcd(shape.blocks, width // BLOCK),
        ROWS=max(triton.next_power_of_2(rows), _TENSOR_ROWS),
        SPLITS=splits,
        NF4=weight.kind == "nf4",
        BIAS=bias is not None,
        GATED=gated,
        CARD=x.is_cuda,
        num_warps=shape.warps,
        num_stages=shape.stages,
    )
    return out


@dataclass(frozen=True, slots=True)
class _Shape:
    columns: int  # of the result, a program
    blocks: int  # of a weight's row in one turn of the loop
    warps: int
    stages: int
    programs: int  # that fill the card


# Found by measuring all products of GLM-4-9B on an H200; the second are for more than 16 rows.
_SHAPES = {
    "int8": (_Shape(64, 4, 4, 3, 256), _Shape(64, 2, 4, 4, 256)),
    "nf4": (_Shape(64, 2, 4, 3, 512), _Shape(64, 1, 4, 6, 256)),
}
_SPLITS = (1, 2, 4, 8)


def _splits(tiles: int, shape: _Shape) -> int:
    """Cut the rows of a narrow weight, so that the card is full."""
    return next((each for each in _SPLITS if each * tiles >= shape.programs), _SPLITS[-1])


@triton.jit(do_not_specialize=["rows"])
def _packed_rows(
    x,  # [rows, WIDTH]
    groups,  # [N, WIDTH / 2 or 4] int16; 2 * N of them if GATED
    scales,  # [N], or [N, WIDTH / BLOCK] if NF4
    values,  # [16]
    bias,  # [N]
    out,  # [rows, N]
    parts,  # [SPLITS, 1 or 2, rows, N] float32
    counters,  # [tiles]
    rows,
    wide,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCKS: tl.constexpr,  # in one turn of the loop
    ROWS: tl.constexpr,
    SPLITS: tl.constexpr,
    NF4: tl.constexpr,
    BIAS: tl.constexpr,
    GATED: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK: tl.constexpr = BLOCK,
):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < wide
    line = column.to(tl.int64)
    up_line = line + wide
    row = tl.arange(0, ROWS)
    here = row < rows
    own = x + row[None, :] * WIDTH
    so_far = tl.zeros([COLUMNS, ROWS], tl.float32)
    up = tl.zeros([COLUMNS, ROWS], tl.float32)
    count: tl.constexpr = tl.cdiv(WIDTH // BLOCK, SPLITS * BLOCKS) * BLOCKS
    first = tl.program_id(1) * count
    weight = groups, scales, values
    each: tl.constexpr = 4 if NF4 else 2
    at_once: tl.constexpr = 1 if NF4 else BLOCKS  # blocks: each of NF4 has a scale of its own
    for begin in tl.range(first, tl.minimum(first + count, WIDTH // BLOCK), BLOCKS):
        for one in tl.static_range(0, BLOCKS, at_once):
            block = begin + one
            pieces = _read(own, block, here, at_once, each, BLOCK)
            so_far = _add(so_far, pieces, weight, line, block, inside, WIDTH, at_once, NF4, CARD)
            if GATED:
                up = _add(up, pieces, weight, up_line, block, inside, WIDTH, at_once, NF4, CARD)
    to = row[None, :] * wide + column[:, None]
    mask = inside[:, None] & here[None, :]
    is_last = True
    if SPLITS > 1:
        sides: tl.constexpr = 2 if GATED else 1
        size = rows * wide
        part = parts + tl.program_id(1) * sides * size + to
        tl.store(part, so_far, mask=mask)
        tl.store(part + size, up, mask=mask & GATED)
        is_last = has_come_last(counters + tl.program_id(0), SPLITS)
        if is_last:
            so_far = sum_parts(parts + to, mask, sides * size, SPLITS)
            up = sum_parts(parts + size + to, mask & GATED, sides * size, SPLITS)
    if is_last:
        if not NF4:
            so_far *= tl.load(scales + line, mask=inside, other=0.0)[:, None]
            up *= tl.load(scales + (up_line if GATED else line), mask=inside, other=0.0)[:, None]
        if BIAS:
            so_far += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)[:, None]
        if GATED:
            so_far = up * so_far * tl.sigmoid(so_far)
        tl.store(out + to, so_far.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _read(
    own,  # [1, ROWS]: where the rows of x begin
    block,
    here,  # [ROWS]
    BLOCKS: tl.constexpr,
    EACH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Read what the first numbers of groups are multiplied by, what the second are, and so on.

    EACH pieces of [BLOCKS * BLOCK / EACH, ROWS].
    """
    apart: tl.constexpr = BLOCK // EACH
    at = tl.arange(0, BLOCKS * apart)
    first = own + (block * BLOCK + at // apart * BLOCK + at % apart)[:, None]
    pieces = ()
    for piece in tl.static_range(EACH):
        one = tl.load(first + piece * apart, mask=here[None, :], other=0.0)
        pieces += (one,)  # type: ignore[assignment]  # the loop is written out
    return pieces


@triton.jit
def _add(
    so_far,  # [COLUMNS, ROWS] float32
    pieces,
    weight,  # groups, scales, values
    line,  # [COLUMNS]: of the weight
    block,
    inside,  # [COLUMNS]
    WIDTH: tl.constexpr,
    BLOCKS: tl.constexpr,
    NF4: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK: tl.constexpr = BLOCK,
):
    """Add the products of some blocks of each line; scales of whole lines come in the end."""
    groups, scales, values = weight
    each: tl.constexpr = 4 if NF4 else 2
    apart: tl.constexpr = BLOCK // each
    at = block * apart + tl.arange(0, BLOCKS * apart)
    where = groups + line[:, None] * (WIDTH // each) + at[None, :]
    its = tl.load(where, mask=inside[:, None], other=0, eviction_policy="evict_first")
    products = so_far
    if NF4:
        scale = tl.load(scales + line * (WIDTH // BLOCK) + block, mask=inside, other=0.0)
        products = tl.zeros_like(so_far)
    numbers = widen(its, values, NF4, CARD)
    for piece in tl.static_range(each):
        products = tl.dot(numbers[piece].to(pieces[piece].dtype), pieces[piece], products)
    if NF4:
        products = so_far + products * scale[:, None]
    return products


def plain_multiply(
    x: Tensor, weight: Packed, *, bias: Tensor | None = None, gated: bool = False
) -> Tensor:
    """What `multiply` computes."""
    return plain_product(x, plain_unpack(weight, x), bias=bias, gated=gated)
