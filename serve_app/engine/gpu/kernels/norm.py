"""Add a layer's output to the residual stream and normalise the sum, in one pass."""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.early import early, wait

_NARROW = 1024  # numbers a row that four warps hold with ease


@dataclass(frozen=True, slots=True)
class Norm:
    """The RMS norm of the rows before a product."""

    weight: Tensor  # [K]
    epsilon: float


def add_norm(
    stream: Tensor, delta: Tensor | None, weight: Tensor, epsilon: float, post: Tensor | None = None
) -> Tensor:
    """Add `delta` [T, K] to `stream` [T, K] in place; return the sum's RMS norm [T, K].

    `delta` may also be parts [S, T, K] whose sum is meant. With `post`, it is normalised itself
    before it is added, as GLM-4-0414 does.
    """
    rows, width = stream.shape
    in_parts = delta is not None and delta.dim() > stream.dim()
    out = torch.empty_like(stream)
    _add_norm[(rows,)](
        stream,
        stream if delta is None else delta,
        weight,
        weight if post is None else post,
        out,
        epsilon,
        rows,
        WIDTH=width,
        BLOCK=triton.next_power_of_2(width),
        PARTS=0 if delta is None else len(delta) if in_parts else 1,
        POST=post is not None,
        **early(stream, busy=in_parts),
        num_warps=8 if width > _NARROW else 4,
    )
    return out


@triton.jit(do_not_specialize=["rows"])
def _add_norm(
    stream,  # [T, WIDTH], changed in place
    delta,  # [T, WIDTH], or [PARTS, T, WIDTH]
    weight,  # [WIDTH]
    post,  # [WIDTH]
    out,  # [T, WIDTH]
    epsilon,
    rows,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTS: tl.constexpr,
    POST: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait(EARLY)
    row = tl.program_id(0).to(tl.int64) * WIDTH
    at = tl.arange(0, BLOCK)
    inside = at < WIDTH
    x = tl.load(stream + row + at, mask=inside, other=0.0)
    if PARTS > 0:
        change = tl.load(delta + row + at, mask=inside, other=0.0)
        for part in tl.static_range(1, PARTS):
            change += tl.load(delta + part * rows * WIDTH + row + at, mask=inside, other=0.0)
        change = change.to(x.dtype)
        if POST:
            gain = tl.load(post + at, mask=inside, other=0.0)
            change = normal(change, gain, epsilon, WIDTH)
        x = (x.to(tl.float32) + change.to(tl.float32)).to(x.dtype)
        tl.store(stream + row + at, x, mask=inside)
    gain = tl.load(weight + at, mask=inside, other=0.0)
    tl.store(out + row + at, normal(x, gain, epsilon, WIDTH), mask=inside)


@triton.jit
def normal(x, gain, epsilon, WIDTH: tl.constexpr):
    """The RMS norm of one row."""
    wide = x.to(tl.float32)
    unit = wide * tl.rsqrt(tl.sum(wide * wide, 0) / WIDTH + epsilon)
    return (unit.to(x.dtype).to(tl.float32) * gain.to(tl.float32)).to(x.dtype)


def plain_add_norm(
    stream: Tensor, delta: Tensor | None, weight: Tensor, epsilon: float, post: Tensor | None = None
) -> Tensor:
    """What `add_norm` computes."""
    if delta is not None:
        delta = delta.sum(0).to(stream.dtype) if delta.dim() > stream.dim() else delta
        stream += delta if post is None else plain_norm(delta, post, epsilon)
    return plain_norm(stream, weight, epsilon)


def plain_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """RMS norm [T, K] as the Hugging Face modules write it."""
    wide = x.float()
    unit = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * unit.to(x.dtype)
