"""Packed weights unpacked whole into memory, for products of many rows, which cuBLAS multiplies."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.codes import nf4_values, numbers_of
from serve_app.engine.gpu.packed import BLOCK, Packed

_GROUPS = 2048  # a program


def unpack(weight: Packed, like: Tensor) -> Tensor:
    """Return a packed weight [N, K] in the numbers of `like`."""
    rows, groups = weight.groups.shape
    out = like.new_empty(rows, groups * weight.each)
    _unpack[(rows, triton.cdiv(groups, _GROUPS))](
        weight.groups,
        weight.scales,
        nf4_values(like.device),
        out,
        WIDTH=out.shape[1],
        STEP=_GROUPS,
        NF4=weight.kind == "nf4",
    )
    return out


@triton.jit
def _unpack(
    groups,  # [N, WIDTH / 2 or 4] int16
    scales,  # [N], or [N, WIDTH / BLOCK] if NF4
    values,  # [16]
    out,  # [N, WIDTH]
    WIDTH: tl.constexpr,
    STEP: tl.constexpr,
    NF4: tl.constexpr,
    BLOCK: tl.constexpr = BLOCK,
):
    row = tl.program_id(0).to(tl.int64)
    each: tl.constexpr = 4 if NF4 else 2
    apart: tl.constexpr = BLOCK // each
    group = tl.program_id(1) * STEP + tl.arange(0, STEP)
    inside = group < WIDTH // each
    block = group // apart
    its = tl.load(groups + row * (WIDTH // each) + group, mask=inside, other=0)
    to = out + row * WIDTH + block * BLOCK + group % apart
    if NF4:
        scale = tl.load(scales + row * (WIDTH // BLOCK) + block, mask=inside, other=0.0)
    else:
        scale = tl.load(scales + row)
    numbers = numbers_of(its, values, NF4)
    for part in tl.static_range(each):
        number = numbers[part].to(tl.float32) * scale
        tl.store(to + part * apart, number.to(out.dtype.element_ty), mask=inside)


def plain_unpack(weight: Packed, like: Tensor) -> Tensor:
    """What `unpack` computes."""
    groups = weight.groups.unflatten(1, (-1, BLOCK // weight.each))
    if weight.kind == "int8":
        numbers = torch.cat((groups << 8 >> 8, groups >> 8), -1).flatten(1)
        return (numbers * weight.scales[:, None]).to(like.dtype)
    codes = torch.cat([groups.int() >> bits & 15 for bits in (0, 4, 8, 12)], -1)
    blocks = nf4_values(like.device)[codes] * weight.scales[..., None]
    return blocks.flatten(1).to(like.dtype)
