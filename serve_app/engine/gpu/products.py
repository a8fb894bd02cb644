"""Which kernel multiplies: by the number of rows, and by what a weight is held in."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from serve_app.engine.gpu.kernels import quantised
from serve_app.engine.gpu.kernels.few import few, takes
from serve_app.engine.gpu.kernels.many import many, suits
from serve_app.engine.gpu.kernels.skinny import skinny
from serve_app.engine.gpu.kernels.swiglu import swiglu
from serve_app.engine.gpu.quantised import Weight

_OWN_ROWS = 8  # beyond, cuBLAS is as fast where nothing rides along


def is_few(x: Tensor, weight: Weight) -> bool:
    """Whether our own kernels multiply so many rows faster than cuBLAS."""
    if not isinstance(weight, Tensor):
        return len(x) <= quantised.MOST_ROWS
    return len(x) == 1 or (len(x) <= _OWN_ROWS and takes(x, weight))


def is_for_many(x: Tensor, weight: Weight, *, gated: bool = False, splits: int = 1) -> bool:
    """Whether `many` or `many_parts` is the fastest, where a launch may take long."""
    return isinstance(weight, Tensor) and suits(x, weight, gated=gated, splits=splits)


def plain(weight: Weight, like: Tensor) -> Tensor:
    """Return the weight [N, K] in the numbers of `like`."""
    return weight if isinstance(weight, Tensor) else quantised.unpack(weight, like)


def product(
    x: Tensor,
    weight: Weight,
    *,
    bias: Tensor | None = None,
    gated: bool = False,
    into: Tensor | None = None,
) -> Tensor:
    """Multiply any number of rows [M, K] with weight [N, K]: [M, N], or [M, N / 2] if gated.

    With `into` [M, N] the product alone is written there. Raises ValueError for what kernels would
    not do alike: a bias before a gate, packed weights into a place.
    """
    if bias is not None and gated:
        raise ValueError("a product has a bias or a gate")
    if into is not None and not isinstance(weight, Tensor):
        raise ValueError("packed weights are not multiplied into a place")
    if is_few(x, weight):
        if not isinstance(weight, Tensor):
            return quantised.multiply(x, weight, bias=bias, gated=gated)
        own = skinny if len(x) == 1 else few
        return own(x, weight, bias=bias, gated=gated, into=into)
    if into is not None:
        return torch.mm(x, plain(weight, x).t(), out=into)
    result = linear(x, plain(weight, x), bias)
    return swiglu(result) if gated else result


def recorded_product(
    x: Tensor, weight: Weight, *, bias: Tensor | None = None, gated: bool = False
) -> Tensor:
    """The same where a launch may take long: it is made once."""
    if is_for_many(x, weight, gated=gated):
        return many(x, plain(weight, x), bias=bias, gated=gated)
    return product(x, weight, bias=bias, gated=gated)
