"""A product with a weight by what is fastest for its rows."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from serve_app.engine.gpu.kernels.few import few
from serve_app.engine.gpu.kernels.skinny import skinny
from serve_app.engine.gpu.kernels.swiglu import swiglu

OWN_ROWS = 8  # beyond, cuBLAS is as fast where nothing rides along


def product(
    x: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    gated: bool = False,
    into: Tensor | None = None,
) -> Tensor:
    """Multiply x [M, K] with weight [N, K]: [M, N], in `into` if given.

    With `gated`, weight is gate and up and the result their SwiGLU, [M, N / 2].
    """
    if len(x) == 1:
        return skinny(x, weight, bias=bias, gated=gated, into=into)
    if len(x) <= OWN_ROWS:
        return few(x, weight, bias=bias, gated=gated, into=into)
    if into is not None:
        return torch.mm(x, weight.t(), out=into)
    result = linear(x, weight, bias)
    return swiglu(result) if gated else result
