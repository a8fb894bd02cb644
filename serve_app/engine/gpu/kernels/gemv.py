"""Products of one row with a weight: each weight is read once, as fast as memory gives it.

What stands before and after the product costs nothing here, so it is done on the way: RMS norm
before, bias, gate or residual stream after.
"""

from dataclasses import dataclass

import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.early import early, wait
from serve_app.engine.gpu.kernels.norm import Norm
from serve_app.engine.gpu.kernels.product import empty_result, is_head


def gemv(
    x: Tensor,
    weight: Tensor,
    *,
    norm: Norm | None = None,
    bias: Tensor | None = None,
    gated: bool = False,
    stream: Tensor | None = None,
    into: Tensor | None = None,
) -> Tensor:
    """Multiply x [1, K] with weight [N, K]: [1, N].

    With `gated`, weight is gate and up and the result their SwiGLU, [1, N / 2]; with `stream`
    [1, N], the result is added to it in place; with `into` [1, N], it is written there.
    """
    out = into if stream is None else stream
    if out is None:
        out = empty_result(x, weight, gated=gated)
    width, wide = x.shape[1], out.shape[1]
    shape = _shape(wide, width, gated=gated)
    _gemv[(triton.cdiv(wide, shape.columns),)](
        x,
        weight,
        weight if norm is None else norm.weight,
        weight if bias is None else bias,
        out,
        wide,
        0.0 if norm is None else norm.epsilon,
        WIDTH=width,
        COLUMNS=shape.columns,
        STEP=shape.step,
        NORM=norm is not None,
        BIAS=bias is not None,
        GATED=gated,
        ADDS=stream is not None,
        **early(x),
        num_warps=shape.warps,
        num_stages=shape.stages,
    )
    return out


@dataclass(frozen=True, slots=True)
class _Shape:
    columns: int  # of the result, a program
    step: int  # numbers of a weight's row in one turn of the loop
    warps: int
    stages: int


# Found by measuring whole steps of GLM-4-9B on an H200.
_SHAPES = {
    "gate": _Shape(1, 2048, 8, 1),
    "head": _Shape(8, 1024, 4, 1),
    "down": _Shape(8, 512, 8, 1),
    "square": _Shape(8, 512, 2, 1),
}


def _shape(wide: int, width: int, *, gated: bool) -> _Shape:
    kind = "gate" if gated else "down" if width > 2 * wide else "square"
    return _SHAPES["head" if is_head(wide) else kind]


@triton.jit
def _gemv(
    x,  # [1, WIDTH]
    weight,  # [N, WIDTH], or [2 * N, WIDTH] if GATED
    gain,  # [WIDTH]
    bias,  # [N]
    out,  # [1, N]
    wide,
    epsilon,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    STEP: tl.constexpr,
    NORM: tl.constexpr,
    BIAS: tl.constexpr,
    GATED: tl.constexpr,
    ADDS: tl.constexpr,
    EARLY: tl.constexpr,
):
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < wide
    step = tl.arange(0, STEP)
    line = weight + column.to(tl.int64)[:, None] * WIDTH
    up_line = line + wide.to(tl.int64) * WIDTH
    so_far = tl.zeros([COLUMNS, STEP], tl.float32)
    up = tl.zeros([COLUMNS, STEP], tl.float32)
    squares = tl.zeros([STEP], tl.float32)
    # Weights are read one turn ahead, the first before the rows they multiply are there.
    numbers = _read(line, step, inside, WIDTH)
    if GATED:
        up_numbers = _read(up_line, step, inside, WIDTH)
    wait(EARLY)
    for begin in tl.range(0, WIDTH, STEP):
        at = begin + step
        known = at < WIDTH
        ahead = _read(line, at + STEP, inside, WIDTH)
        if GATED:
            up_ahead = _read(up_line, at + STEP, inside, WIDTH)
        part = tl.load(x + at, mask=known, other=0.0).to(tl.float32)
        if NORM:
            squares += part * part
            part *= tl.load(gain + at, mask=known, other=0.0).to(tl.float32)
        so_far += part[None, :] * numbers.to(tl.float32)
        numbers = ahead
        if GATED:
            up += part[None, :] * up_numbers.to(tl.float32)
            up_numbers = up_ahead
    result = tl.sum(so_far, 1)
    more = tl.sum(up, 1)
    if NORM:
        unit = tl.rsqrt(tl.sum(squares, 0) / WIDTH + epsilon)
        result *= unit
        more *= unit
    if BIAS:
        result += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    if GATED:
        result = more * result * tl.sigmoid(result)
    if ADDS:
        # The product is rounded before it is added, as in a layer that stores it.
        result = result.to(out.dtype.element_ty).to(tl.float32)
        result += tl.load(out + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + column, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _read(line, at, inside, WIDTH: tl.constexpr):
    mask = inside[:, None] & (at < WIDTH)[None, :]
    return tl.load(line + at[None, :], mask=mask, other=0.0, eviction_policy="evict_first")
