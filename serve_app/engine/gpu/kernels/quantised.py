"""Products with weights in 8 and 4 bits: unpacked on the way to the tensor cores, or beforehand.

A few rows read each weight once, in its bits; for many it is cheaper to unpack a whole weight into
memory and let cuBLAS multiply. Either way only weights are rounded, never what they multiply.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.arrivals import arrivals, has_come_last
from serve_app.engine.gpu.kernels.product import plain_product
from serve_app.engine.gpu.packed import BLOCK, Packed

MOST_ROWS = 64  # beyond, a whole weight is unpacked
_TENSOR_ROWS = 16  # rows a tensor core takes at once
_UNPACKED = 2048  # groups that a program unpacks


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
    _few[(tiles, splits)](
        x,
        weight.groups,
        weight.scales,
        _values(x.device),
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
        FOUR=weight.kind == "nf4",
        BIAS=bias is not None,
        GATED=gated,
        CARD=x.is_cuda,
        num_warps=shape.warps,
        num_stages=shape.stages,
    )
    return out


def unpack(weight: Packed, like: Tensor) -> Tensor:
    """Return a packed weight [N, K] in the numbers of `like`."""
    rows, groups = weight.groups.shape
    out = like.new_empty(rows, groups * weight.each)
    _unpack[(rows, triton.cdiv(groups, _UNPACKED))](
        weight.groups,
        weight.scales,
        _values(like.device),
        out,
        WIDTH=out.shape[1],
        STEP=_UNPACKED,
        FOUR=weight.kind == "nf4",
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


@cache
def _values(device: torch.device) -> Tensor:
    """What the codes of 4 bits stand for."""
    return torch.tensor(VALUES, device=device)


# The quantiles of normally distributed numbers, as the paper on QLoRA and bitsandbytes have them.
VALUES = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)

# What follows turns a pair of 16-bit groups into pairs of numbers in bfloat16, in registers alone.

# Two numbers of 8 bits a group, without the slow conversion: a number's lower seven bits are put
# behind the bits of 128, which makes 128 + them; its sign behind others, which makes 128 or 256.
_WIDEN = tl.constexpr("""{
.reg .b32 high, minus, plus, off;
mov.b32 off, 0xBF80BF80;
lop3.b32 plus, $2, 0x007F007F, 0x43004300, 0xEA;
lop3.b32 minus, $2, 0x00800080, 0x43004300, 0xEA;
fma.rn.bf16x2 $0, minus, off, plus;
shr.u32 high, $2, 8;
lop3.b32 plus, high, 0x007F007F, 0x43004300, 0xEA;
lop3.b32 minus, high, 0x00800080, 0x43004300, 0xEA;
fma.rn.bf16x2 $1, minus, off, plus;
}""")

# Four codes of 4 bits a group: each `prmt` looks four up in eight bytes of the table. First the
# values' lower bytes, then the upper ones; a code's highest bit says in which half its value is.
_LOOK_UP = tl.constexpr("""{
.reg .b32 both, code, half, a, b, low, high;
prmt.b32 both, $4, 0, 0x3120;
and.b32 code, both, 0x77777777;
shr.u32 half, both, 1;
lop3.b32 half, half, 0x44444444, 0x32103210, 0xEA;
prmt.b32 a, 0xca063280, 0x00ba3d92, code;
prmt.b32 b, 0xad7c25a3, 0x803910e2, code;
prmt.b32 low, a, b, half;
prmt.b32 a, 0xbebfbfbf, 0x00bdbebe, code;
prmt.b32 b, 0x3e3e3e3d, 0x3f3f3f3e, code;
prmt.b32 high, a, b, half;
prmt.b32 $0, low, high, 0x6240;
prmt.b32 $1, low, high, 0x7351;
shr.u32 code, code, 16;
shr.u32 half, half, 16;
prmt.b32 a, 0xca063280, 0x00ba3d92, code;
prmt.b32 b, 0xad7c25a3, 0x803910e2, code;
prmt.b32 low, a, b, half;
prmt.b32 a, 0xbebfbfbf, 0x00bdbebe, code;
prmt.b32 b, 0x3e3e3e3d, 0x3f3f3f3e, code;
prmt.b32 high, a, b, half;
prmt.b32 $2, low, high, 0x6240;
prmt.b32 $3, low, high, 0x7351;
}""")


@triton.jit(do_not_specialize=["rows"])
def _few(
    x,  # [rows, WIDTH]
    groups,  # [N, WIDTH / 2 or 4] int16; 2 * N of them if GATED
    scales,  # [N], or [N, WIDTH / BLOCK] if FOUR
    values,  # [16]
    bias,  # [N]
    out,  # [rows, N]
    parts,  # [SPLITS, 1 or 2, rows, N] float32
    arrivals,  # [tiles]
    rows,
    wide,
    WIDTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCKS: tl.constexpr,  # in one turn of the loop
    ROWS: tl.constexpr,
    SPLITS: tl.constexpr,
    FOUR: tl.constexpr,
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
    lines = line, up_line, inside
    sums = so_far, up
    for block in tl.range(first, tl.minimum(first + count, WIDTH // BLOCK), BLOCKS):
        if FOUR:
            sums = _fours(own, weight, lines, block, here, sums, WIDTH, BLOCKS, GATED, CARD, BLOCK)
        else:
            sums = _pairs(own, groups, lines, block, here, sums, WIDTH, BLOCKS, GATED, CARD, BLOCK)
    so_far, up = sums
    to = row[None, :] * wide + column[:, None]
    mask = inside[:, None] & here[None, :]
    is_last = True
    if SPLITS > 1:
        sides: tl.constexpr = 2 if GATED else 1
        size = rows * wide
        its = parts + tl.program_id(1) * sides * size + to
        tl.store(its, so_far, mask=mask)
        tl.store(its + size, up, mask=mask & GATED)
        is_last = has_come_last(arrivals + tl.program_id(0), SPLITS)
        if is_last:
            so_far = _sum(parts + to, mask, sides * size, SPLITS)
            up = _sum(parts + size + to, mask & GATED, sides * size, SPLITS)
    if is_last:
        if not FOUR:
            so_far *= tl.load(scales + line, mask=inside, other=0.0)[:, None]
            up *= tl.load(scales + (up_line if GATED else line), mask=inside, other=0.0)[:, None]
        if BIAS:
            so_far += tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)[:, None]
        if GATED:
            so_far = up * so_far * tl.sigmoid(so_far)
        tl.store(out + to, so_far.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _pairs(
    own,
    groups,
    lines,
    block,
    here,
    sums,
    WIDTH: tl.constexpr,
    BLOCKS: tl.constexpr,
    GATED: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    line, up_line, inside = lines
    so_far, up = sums
    its = _two_parts(own, block, here, BLOCKS, BLOCK)
    so_far = _eight(groups, line, block, inside, its, so_far, WIDTH, BLOCKS, CARD, BLOCK)
    if GATED:
        up = _eight(groups, up_line, block, inside, its, up, WIDTH, BLOCKS, CARD, BLOCK)
    return so_far, up


@triton.jit
def _fours(
    own,
    weight,
    lines,
    block,
    here,
    sums,
    WIDTH: tl.constexpr,
    BLOCKS: tl.constexpr,
    GATED: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    line, up_line, inside = lines
    so_far, up = sums
    for one in tl.static_range(BLOCKS):
        its = _four_parts(own, block + one, here, BLOCK)
        so_far += _four(weight, line, block + one, inside, its, WIDTH, CARD, BLOCK)
        if GATED:
            up += _four(weight, up_line, block + one, inside, its, WIDTH, CARD, BLOCK)
    return so_far, up


@triton.jit
def _two_parts(own, block, here, BLOCKS: tl.constexpr, BLOCK: tl.constexpr):
    """Read what the first and what the second numbers of groups are multiplied by."""
    half: tl.constexpr = BLOCK // 2
    at = tl.arange(0, BLOCKS * half)
    first = own + (block * BLOCK + at // half * BLOCK + at % half)[:, None]
    mask = here[None, :]
    return tl.load(first, mask=mask, other=0.0), tl.load(first + half, mask=mask, other=0.0)


@triton.jit
def _eight(
    groups,
    line,
    block,
    inside,
    parts,
    so_far,
    WIDTH: tl.constexpr,
    BLOCKS: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add the products of some blocks of each line; scales come in the end."""
    at = block * (BLOCK // 2) + tl.arange(0, BLOCKS * (BLOCK // 2))
    where = groups + line[:, None] * (WIDTH // 2) + at[None, :]
    pairs = tl.load(where, mask=inside[:, None], other=0, eviction_policy="evict_first")
    if CARD:
        low, high = tl.inline_asm_elementwise(
            _WIDEN, "=&r,=&r,r", [pairs], (tl.bfloat16, tl.bfloat16), is_pure=True, pack=2
        )
    else:
        low, high = _two_of(pairs)
    so_far = tl.dot(low.to(parts[0].dtype), parts[0], so_far)
    return tl.dot(high.to(parts[1].dtype), parts[1], so_far)


@triton.jit
def _two_of(pairs):
    return (pairs << 8) >> 8, pairs >> 8


@triton.jit
def _four_parts(own, block, here, BLOCK: tl.constexpr):
    """Read what each of the four codes of groups is multiplied by."""
    quarter: tl.constexpr = BLOCK // 4
    first = own + (block * BLOCK + tl.arange(0, quarter))[:, None]
    mask = here[None, :]
    a = tl.load(first, mask=mask, other=0.0)
    b = tl.load(first + quarter, mask=mask, other=0.0)
    c = tl.load(first + 2 * quarter, mask=mask, other=0.0)
    return a, b, c, tl.load(first + 3 * quarter, mask=mask, other=0.0)


@triton.jit
def _four(
    weight,  # groups, scales, values
    line,
    block,
    inside,
    parts,
    WIDTH: tl.constexpr,
    CARD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return the product of one block of each line."""
    groups, scales, values = weight
    at = block * (BLOCK // 4) + tl.arange(0, BLOCK // 4)
    where = groups + line[:, None] * (WIDTH // 4) + at[None, :]
    codes = tl.load(where, mask=inside[:, None], other=0, eviction_policy="evict_first")
    scale = tl.load(scales + line * (WIDTH // BLOCK) + block, mask=inside, other=0.0)
    if CARD:
        a, b, c, d = tl.inline_asm_elementwise(
            _LOOK_UP,
            "=r,=r,=r,=r,r",
            [codes],
            (tl.bfloat16, tl.bfloat16, tl.bfloat16, tl.bfloat16),
            is_pure=True,
            pack=2,
        )
    else:
        a, b, c, d = _four_of(codes, values)
    whole = tl.dot(a.to(parts[0].dtype), parts[0])
    whole = tl.dot(b.to(parts[1].dtype), parts[1], whole)
    whole = tl.dot(c.to(parts[2].dtype), parts[2], whole)
    whole = tl.dot(d.to(parts[3].dtype), parts[3], whole)
    return whole * scale[:, None]


@triton.jit
def _four_of(codes, values):
    code = codes.to(tl.int32)
    a, b = tl.load(values + (code & 15)), tl.load(values + (code >> 4 & 15))
    return a, b, tl.load(values + (code >> 8 & 15)), tl.load(values + (code >> 12 & 15))


@triton.jit
def _sum(part, mask, stride, SPLITS: tl.constexpr):
    """Add up what all programs have stored: read past the cache of this multiprocessor."""
    whole = tl.load(part, mask=mask, other=0.0, cache_modifier=".cg")
    for split in tl.static_range(1, SPLITS):
        whole += tl.load(part + split * stride, mask=mask, other=0.0, cache_modifier=".cg")
    return whole


@triton.jit
def _unpack(
    groups,  # [N, WIDTH / 2 or 4] int16
    scales,  # [N], or [N, WIDTH / BLOCK] if FOUR
    values,  # [16]
    out,  # [N, WIDTH]
    WIDTH: tl.constexpr,
    STEP: tl.constexpr,
    FOUR: tl.constexpr,
    BLOCK: tl.constexpr = BLOCK,
):
    row = tl.program_id(0).to(tl.int64)
    each: tl.constexpr = 4 if FOUR else 2
    apart: tl.constexpr = BLOCK // each
    group = tl.program_id(1) * STEP + tl.arange(0, STEP)
    inside = group < WIDTH // each
    block = group // apart
    its = tl.load(groups + row * (WIDTH // each) + group, mask=inside, other=0)
    to = out + row * WIDTH + block * BLOCK + group % apart
    if FOUR:
        scale = tl.load(scales + row * (WIDTH // BLOCK) + block, mask=inside, other=0.0)
        a, b, c, d = _four_of(its, values)
        tl.store(to, (a * scale).to(out.dtype.element_ty), mask=inside)
        tl.store(to + apart, (b * scale).to(out.dtype.element_ty), mask=inside)
        tl.store(to + 2 * apart, (c * scale).to(out.dtype.element_ty), mask=inside)
        tl.store(to + 3 * apart, (d * scale).to(out.dtype.element_ty), mask=inside)
    else:
        scale = tl.load(scales + row)
        low, high = _two_of(its)
        tl.store(to, (low.to(tl.float32) * scale).to(out.dtype.element_ty), mask=inside)
        tl.store(to + apart, (high.to(tl.float32) * scale).to(out.dtype.element_ty), mask=inside)


def plain_unpack(weight: Packed, like: Tensor) -> Tensor:
    """What `unpack` computes."""
    groups = weight.groups.unflatten(1, (-1, BLOCK // weight.each))
    if weight.kind == "int8":
        numbers = torch.cat((groups << 8 >> 8, groups >> 8), -1).flatten(1)
        return (numbers * weight.scales[:, None]).to(like.dtype)
    codes = torch.cat([groups.int() >> bits & 15 for bits in (0, 4, 8, 12)], -1)
    blocks = _values(like.device)[codes] * weight.scales[..., None]
    return blocks.flatten(1).to(like.dtype)


def plain_multiply(
    x: Tensor, weight: Packed, *, bias: Tensor | None = None, gated: bool = False
) -> Tensor:
    """What `multiply` computes."""
    return plain_product(x, plain_unpack(weight, x), bias=bias, gated=gated)
