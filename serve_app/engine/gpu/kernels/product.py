"""What every kernel of products computes, and what is known of the weights."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from serve_app.engine.gpu.kernels.norm import Norm, plain_norm
from serve_app.engine.gpu.kernels.swiglu import plain_swiglu

_HEAD = 1 << 15


def is_head(columns: int) -> bool:
    """Whether a weight is so wide that it must be the vocabulary's."""
    return columns > _HEAD


def empty_result(x: Tensor, weight: Tensor, *, gated: bool) -> Tensor:
    """Return room for a product [M, N], or [M, N / 2] if gated."""
    return x.new_empty(len(x), len(weight) // (2 if gated else 1))


def plain_product(
    x: Tensor,
    weight: Tensor,
    *,
    norm: Norm | None = None,
    bias: Tensor | None = None,
    gated: bool = False,
    stream: Tensor | None = None,
) -> Tensor:
    """The plain twin of all of them: x [M, K] with weight [N, K], and what stands around it."""
    if norm is not None:
        x = plain_norm(x, norm.weight, norm.epsilon)
    result = linear(x, weight, bias)
    if gated:
        result = plain_swiglu(result)
    return result if stream is None else torch.add(stream, result, out=stream)
