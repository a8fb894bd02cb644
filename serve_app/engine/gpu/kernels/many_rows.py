"""Products of many rows with a weight on Hopper: every multiprocessor reads its share of it, once.

Each program has columns of its own, as many as one wave of programs needs to cover the weight.
"""

import torch
import triton
from torch import Tensor
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from serve_app.engine.gpu.kernels.card import HOPPER, generation, multiprocessors
from serve_app.engine.gpu.kernels.one_wave import SWIZZLED, constants, one_wave, options
from serve_app.engine.gpu.kernels.product import empty_result
from serve_app.engine.gpu.kernels.tiles import STEP, Tile, tile_for

_DTYPES = (torch.bfloat16, torch.float16)
_ALIGNED = 8  # numbers that a row must be a multiple of, for TMA


def suits(x: Tensor, weight: Tensor, *, gated: bool = False, splits: int = 1) -> bool:
    """Whether `multiply`, or `partial_products` with `splits`, is faster than cuBLAS here."""
    if not x.is_cuda or x.dtype not in _DTYPES or x.shape[1] % _ALIGNED:
        return False
    return generation(x.device) == HOPPER and _tile(x, weight, splits, gated=gated) is not None


def multiply(
    x: Tensor, weight: Tensor, *, bias: Tensor | None = None, gated: bool = False
) -> Tensor:
    """Multiply x [M, K] with weight [N, K]: [M, N]; with `gated`, their SwiGLU [M, N / 2]."""
    out = empty_result(x, weight, gated=gated)
    _launch(x, weight, out, bias, splits=1, gated=gated)
    return out


def partial_products(x: Tensor, weight: Tensor, splits: int) -> Tensor:
    """Return parts [splits, M, N] in float32, whose sum is the product."""
    out = x.new_empty(splits, len(x), len(weight), dtype=torch.float32)
    _launch(x, weight, out, None, splits=splits, gated=False)
    return out


def _tile(x: Tensor, weight: Tensor, splits: int, *, gated: bool) -> Tile | None:
    processors = multiprocessors(x.device)
    return tile_for(len(x), len(weight), processors, gated=gated, splits=splits)


def _launch(
    x: Tensor, weight: Tensor, out: Tensor, bias: Tensor | None, *, splits: int, gated: bool
) -> None:
    rows, width = x.shape
    tile = _tile(x, weight, splits, gated=gated)
    if tile is None:
        raise ValueError("no tile suits this product")
    one_wave[(triton.cdiv(len(weight), tile.columns) * splits,)](
        _tiles_of(x, tile.rows),
        *(_tiles_of(weight, box) for box in tile.boxes(gated=gated)),
        weight if bias is None else bias,
        out,
        rows,
        out.shape[-1],
        width,
        **constants(tile, gated=gated, bias=bias is not None),
        **options(tile),
        launch_pdl=True,
    )


def _tiles_of(tensor: Tensor, lines: int) -> TensorDescriptor:
    return TensorDescriptor.from_tensor(tensor, [lines, STEP], SWIZZLED)
