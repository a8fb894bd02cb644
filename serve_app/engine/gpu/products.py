"""Which kernel multiplies: by the number of rows, and by what a weight is held in."""

from typing import TypeGuard

import torch
from torch import Tensor
from torch.nn.functional import linear

from serve_app.engine.gpu.kernels import few_rows, many_rows, packed_rows
from serve_app.engine.gpu.kernels.gemv import gemv
from serve_app.engine.gpu.kernels.swiglu import swiglu
from serve_app.engine.gpu.kernels.unpacked import unpack
from serve_app.engine.gpu.packed import Weight

_OWN_ROWS = 8  # beyond, cuBLAS is as fast where nothing rides along


def beats_cublas(weight: Weight, x: Tensor) -> bool:
    """Whether our own kernels multiply so many rows faster than cuBLAS."""
    if not isinstance(weight, Tensor):
        return len(x) <= packed_rows.MOST_ROWS
    return len(x) == 1 or (len(x) <= _OWN_ROWS and few_rows.suits(x, weight))


def suits_many_rows(
    weight: Weight, x: Tensor, *, gated: bool = False, splits: int = 1
) -> TypeGuard[Tensor]:
    """Whether the kernel for many rows is the fastest, where a launch may take long.

    It takes no packed weights.
    """
    return isinstance(weight, Tensor) and many_rows.suits(x, weight, gated=gated, splits=splits)


def unpacked(weight: Weight, like: Tensor) -> Tensor:
    """Return the weight [N, K] in the numbers of `like`."""
    return weight if isinstance(weight, Tensor) else unpack(weight, like)


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
    if beats_cublas(weight, x):
        if not isinstance(weight, Tensor):
            return packed_rows.multiply(x, weight, bias=bias, gated=gated)
        own = gemv if len(x) == 1 else few_rows.multiply
        return own(x, weight, bias=bias, gated=gated, into=into)
    if into is not None:
        return torch.mm(x, unpacked(weight, x).t(), out=into)
    result = linear(x, unpacked(weight, x), bias)
    return swiglu(result) if gated else result


def decode_product(
    x: Tensor, weight: Weight, *, bias: Tensor | None = None, gated: bool = False
) -> Tensor:
    """The same in a step that is recorded, where a launch may take long: it is made once."""
    if suits_many_rows(weight, x, gated=gated):
        return many_rows.multiply(x, weight, bias=bias, gated=gated)
    return product(x, weight, bias=bias, gated=gated)
