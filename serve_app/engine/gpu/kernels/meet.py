"""Sum parts over all ranks, add the sum to the residual stream, and normalise it, in one pass.

Every rank reads the others' parts where they lie and adds them up in the same order, so all have
the same stream. A row waits for its own parts alone.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.early import early, wait
from serve_app.engine.gpu.kernels.norm import normal
from serve_app.engine.ranks import Near


def meet_add(near: Near, turn: int, stream: Tensor) -> None:
    """Add the parts of this `turn`, one from each rank, to `stream` [T, K] in place."""
    _launch(near, turn, stream)


def meet_add_norm(
    near: Near,
    turn: int,
    stream: Tensor,
    weight: Tensor,
    epsilon: float,
    post: Tensor | None = None,
) -> Tensor:
    """Likewise; return the sum's RMS norm [T, K], as `add_norm` does."""
    out = torch.empty_like(stream)
    _launch(near, turn, stream, weight, epsilon, post, out)
    return out


def _launch(
    near: Near,
    turn: int,
    stream: Tensor,
    weight: Tensor | None = None,
    epsilon: float = 0.0,
    post: Tensor | None = None,
    out: Tensor | None = None,
) -> None:
    rows, width = stream.shape
    _meet_add_norm[(rows,)](
        stream,
        near.parts[turn].addresses,
        near.flags.addresses,
        stream if weight is None else weight,
        stream if post is None else post,
        stream if out is None else out,
        epsilon,
        RANK=near.rank,
        RANKS=near.ranks,
        WIDTH=width,
        BLOCK=triton.next_power_of_2(width),
        NORM=weight is not None,
        POST=post is not None,
        **early(stream),
        num_warps=8,
    )


@triton.jit
def _meet_add_norm(
    stream,  # [T, WIDTH], changed in place
    parts,  # [RANKS]: addresses of [rows, WIDTH]
    flags,  # [RANKS]: addresses of [rows, RANKS] int32, 1: that rank's part is there
    weight,  # [WIDTH]
    post,  # [WIDTH]
    out,  # [T, WIDTH]
    epsilon,
    RANK: tl.constexpr,
    RANKS: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
    NORM: tl.constexpr,
    POST: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait(EARLY)
    row = tl.program_id(0).to(tl.int64)
    _tell(flags, row, RANK, RANKS)
    at = tl.arange(0, BLOCK)
    inside = at < WIDTH
    x = tl.load(stream + row * WIDTH + at, mask=inside, other=0.0)
    _await(flags, row, RANK, RANKS)
    total = tl.zeros([BLOCK], tl.float32)
    for rank in tl.static_range(RANKS):
        part = tl.load(parts + rank).to(tl.pointer_type(stream.dtype.element_ty))
        part = tl.multiple_of(part, 16)
        total += tl.load(part + row * WIDTH + at, mask=inside, other=0.0).to(tl.float32)
    change = total.to(x.dtype)
    if POST:
        change = normal(change, tl.load(post + at, mask=inside, other=0.0), epsilon, WIDTH)
    x = (x.to(tl.float32) + change.to(tl.float32)).to(x.dtype)
    tl.store(stream + row * WIDTH + at, x, mask=inside)
    if NORM:
        gain = tl.load(weight + at, mask=inside, other=0.0)
        tl.store(out + row * WIDTH + at, normal(x, gain, epsilon, WIDTH), mask=inside)


@triton.jit
def _tell(flags, row, RANK: tl.constexpr, RANKS: tl.constexpr):
    """Raise this rank's flag at all others; one of the time before is taken down first."""
    for rank in tl.static_range(RANKS):
        if rank != RANK:
            theirs = tl.load(flags + rank).to(tl.pointer_type(tl.int32)) + row * RANKS + RANK
            while tl.atomic_cas(theirs, 0, 1, sem="release", scope="sys") != 0:
                pass


@triton.jit
def _await(flags, row, RANK: tl.constexpr, RANKS: tl.constexpr):
    """Wait for all others' flags, and take them down."""
    own = tl.load(flags + RANK).to(tl.pointer_type(tl.int32)) + row * RANKS
    for rank in tl.static_range(RANKS):
        if rank != RANK:
            while tl.atomic_cas(own + rank, 1, 0, sem="acquire", scope="sys") != 1:
                pass
