"""The kernel for products of many rows on Hopper: one warp fetches, the others multiply.

The fetching warp brings tiles of weight and rows by TMA, the weight's first ones before the kernel
that makes the rows has ended.
"""

from typing import Any

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from serve_app.engine.gpu.kernels.tiles import STEP, Tile

SWIZZLED = gl.NVMMASharedLayout(swizzle_byte_width=128, element_bitwidth=16, rank=2)
_REGISTERS = 112  # a thread's at first; those that multiply get what TMA's warp gives back
_SPARE = 24  # what it keeps

_bring = getattr(tma, "async_load", None) or tma.async_copy_global_to_shared  # Triton 3.9, 3.6


def constants(tile: Tile, *, gated: bool, bias: bool) -> dict[str, Any]:
    """Return what the kernel knows when it is compiled."""
    return {
        "ROWS": tile.rows,
        "PIECES": tile.pieces,
        "STEP": STEP,
        "STAGES": tile.stages,
        "SPLITS": tile.splits,
        "GATED": gated,
        "BIAS": bias,
        "SPARE": _SPARE,
    }


def options(tile: Tile) -> dict[str, int]:
    """Return what Triton is to compile it with."""
    return {"num_warps": tile.rows // 16, "maxnreg": _REGISTERS}


@gluon.jit(do_not_specialize=["rows"])
def one_wave(
    x,  # [rows, width]
    first,  # [N, width]: the weight in tiles for each piece of a program's columns
    second,
    third,
    bias,  # [wide]
    out,  # [rows, wide], or [SPLITS, rows, wide]
    rows,
    wide,  # N, or N / 2 if GATED
    width,
    ROWS: gl.constexpr,
    PIECES: gl.constexpr,
    STEP: gl.constexpr,
    STAGES: gl.constexpr,
    SPLITS: gl.constexpr,
    GATED: gl.constexpr,
    BIAS: gl.constexpr,
    SPARE: gl.constexpr,
):
    """Multiply: each program has columns of its own."""
    gdc_launch_dependents()
    split = gl.program_id(0) % SPLITS
    column = gl.program_id(0) // SPLITS * _columns(PIECES, 3, GATED)
    tiles = (width + STEP - 1) // STEP
    begin = split * tiles // SPLITS
    steps = (split + 1) * tiles // SPLITS - begin

    xs = gl.allocate_shared_memory(x.dtype, [STAGES, ROWS, STEP], x.layout)
    firsts = gl.allocate_shared_memory(x.dtype, [STAGES, PIECES[0], STEP], x.layout)
    seconds = firsts
    thirds = firsts
    if PIECES[1]:
        seconds = gl.allocate_shared_memory(x.dtype, [STAGES, PIECES[1], STEP], x.layout)
    if PIECES[2]:
        thirds = gl.allocate_shared_memory(x.dtype, [STAGES, PIECES[2], STEP], x.layout)
    full = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for stage in gl.static_range(STAGES):
        mbarrier.init(full.index(stage), count=1)
        mbarrier.init(free.index(stage), count=1)

    stages = (xs, firsts, seconds, thirds, full, free)
    to = out + split.to(gl.int64) * rows * wide
    weight = (first, second, third)
    gl.warp_specialize(
        [
            (_multiply, (stages, steps, to, bias, rows, wide, column, PIECES, GATED, BIAS)),
            (_fetch, (x, weight, stages, begin, steps, wide, column, PIECES, GATED)),
        ],
        [1],
        [SPARE],
    )


@gluon.constexpr_function
def _columns(pieces, count, gated):
    """Columns of the result that the first `count` pieces have."""
    return sum(pieces[:count]) // (2 if gated else 1)


@gluon.jit
def _fetch(
    x,
    weight,
    stages,
    begin,
    steps,
    wide,
    column,
    PIECES: gl.constexpr,
    GATED: gl.constexpr,
):
    """Keep all stages full; the weight's first tiles need not wait for the rows."""
    xs, _, _, _, full, free = stages
    count: gl.constexpr = xs.shape[0]
    wide_step: gl.constexpr = xs.shape[2]
    for step in range(gl.minimum(count, steps)):
        at = (begin + step) * wide_step
        _fetch_weight(weight, at, stages, step, wide, column, PIECES, GATED)
    gdc_wait()
    for step in range(gl.minimum(count, steps)):
        _bring(x, [0, (begin + step) * wide_step], full.index(step), xs.index(step))
    for step in range(count, steps):
        stage = step % count
        at = (begin + step) * wide_step
        mbarrier.wait(free.index(stage), (step // count + 1) & 1)
        _fetch_weight(weight, at, stages, stage, wide, column, PIECES, GATED)
        _bring(x, [0, at], full.index(stage), xs.index(stage))


@gluon.jit
def _fetch_weight(
    weight, at, stages, stage, wide, column, PIECES: gl.constexpr, GATED: gl.constexpr
):
    xs, firsts, seconds, thirds, full, _ = stages
    ready = full.index(stage)
    numbers: gl.constexpr = (xs.shape[1] + _columns(PIECES, 3, False)) * xs.shape[2]
    mbarrier.expect(ready, numbers * 2)  # bytes of weight and rows
    _fetch_piece(weight[0], at, column, wide, ready, firsts.index(stage), GATED)
    if PIECES[1]:
        after = column + _columns(PIECES, 1, GATED)
        _fetch_piece(weight[1], at, after, wide, ready, seconds.index(stage), GATED)
    if PIECES[2]:
        after = column + _columns(PIECES, 2, GATED)
        _fetch_piece(weight[2], at, after, wide, ready, thirds.index(stage), GATED)


@gluon.jit
def _fetch_piece(weight, at, column, wide, ready, piece, GATED: gl.constexpr):
    if GATED:
        half: gl.constexpr = piece.shape[0] // 2
        _bring(weight, [column, at], ready, piece.slice(0, half))
        _bring(weight, [wide + column, at], ready, piece.slice(half, half))
    else:
        _bring(weight, [column, at], ready, piece)


@gluon.jit
def _multiply(
    stages,
    steps,
    out,
    bias,
    rows,
    wide,
    column,
    PIECES: gl.constexpr,
    GATED: gl.constexpr,
    BIAS: gl.constexpr,
):
    xs, firsts, seconds, thirds, full, free = stages
    count: gl.constexpr = xs.shape[0]
    a = _zeros(xs.shape[1], PIECES[0])
    b = _zeros(xs.shape[1], max(PIECES[1], 8))
    c = _zeros(xs.shape[1], max(PIECES[2], 8))
    for step in range(steps):
        stage = step % count
        mbarrier.wait(full.index(stage), (step // count) & 1)
        x = xs.index(stage)
        a = warpgroup_mma(x, firsts.index(stage).permute((1, 0)), a, is_async=True)
        if PIECES[1]:
            b = warpgroup_mma(x, seconds.index(stage).permute((1, 0)), b, is_async=True)
        if PIECES[2]:
            c = warpgroup_mma(x, thirds.index(stage).permute((1, 0)), c, is_async=True)
        # Once only this step's products are under way, the last step's tiles are free.
        a, b, c = _wait(1, a, b, c, PIECES)
        mbarrier.arrive(free.index((step + count - 1) % count), pred=step > 0)
    a, b, c = _wait(0, a, b, c, PIECES)
    end = gl.minimum(column + _columns(PIECES, 3, GATED), wide)
    _put(a, out, bias, rows, wide, column, end, GATED, BIAS)
    if PIECES[1]:
        _put(b, out, bias, rows, wide, column + _columns(PIECES, 1, GATED), end, GATED, BIAS)
    if PIECES[2]:
        _put(c, out, bias, rows, wide, column + _columns(PIECES, 2, GATED), end, GATED, BIAS)


@gluon.jit
def _zeros(ROWS: gl.constexpr, COLUMNS: gl.constexpr):
    layout: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [gl.num_warps(), 1], [16, COLUMNS, 16])
    return gl.zeros([ROWS, COLUMNS], gl.float32, layout)


@gluon.jit
def _wait(STEPS: gl.constexpr, a, b, c, PIECES: gl.constexpr):
    """Wait until the products of only so many steps are under way."""
    if PIECES[2]:
        a, b, c = warpgroup_mma_wait(3 * STEPS, deps=(a, b, c))
    elif PIECES[1]:
        a, b = warpgroup_mma_wait(2 * STEPS, deps=(a, b))
    else:
        a = warpgroup_mma_wait(STEPS, deps=(a,))
    return a, b, c


@gluon.jit
def _put(sums, out, bias, rows, wide, column, end, GATED: gl.constexpr, BIAS: gl.constexpr):
    """Store sums, or their SwiGLU: gate and up lie side by side."""
    if GATED:
        half: gl.constexpr = sums.shape[1] // 2
        gate, up = sums.reshape([sums.shape[0], 2, half]).permute((0, 2, 1)).split()
        sums = up * gate / (1.0 + gl.exp(-gate))
    layout: gl.constexpr = sums.type.layout
    row = gl.arange(0, sums.shape[0], layout=gl.SliceLayout(1, layout))
    at = column + gl.arange(0, sums.shape[1], layout=gl.SliceLayout(0, layout))
    inside = at < end
    if BIAS:
        sums += gl.load(bias + at, mask=inside, other=0.0).to(gl.float32)[None, :]
    to = out + row.to(gl.int64)[:, None] * wide + at[None, :]
    gl.store(to, sums.to(out.dtype.element_ty), mask=(row < rows)[:, None] & inside[None, :])
