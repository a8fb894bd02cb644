"""Weights in 8 and 4 bits on a CPU, kernels interpreted: what bitsandbytes' own weights give."""

from typing import Any

import bitsandbytes
import pytest
import torch
from torch import Tensor, nn

from serve_app.engine.gpu.kernels.packed_rows import plain_multiply
from serve_app.engine.gpu.kernels.unpacked import plain_unpack, unpack
from serve_app.engine.gpu.packed import Packed, is_known, join
from serve_app.engine.gpu.products import product
from serve_app.models.precision import Quantization
from tests.gpu import packing
from tests.gpu.packing import KINDS

WIDTH, COLUMNS = 320, 90


@pytest.fixture(autouse=True)
def _fresh_numbers() -> None:
    torch.manual_seed(torch.seed() % 2**31)


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def linear(kind: Quantization, rows: int = COLUMNS) -> Any:
    return packing.packed(nn.Linear(WIDTH, rows), kind)


def held(module: Any) -> Tensor:
    """What bitsandbytes says that a weight stands for."""
    if hasattr(module.weight, "SCB"):
        return bitsandbytes.functional.int8_vectorwise_dequant(
            module.weight.data, module.weight.SCB
        )
    return bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)


def packed(*modules: Any) -> Packed:
    weight = join(modules)
    assert isinstance(weight, Packed)
    return weight


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_unpacked_as_bitsandbytes_does(kind: Quantization) -> None:
    module = linear(kind)
    wanted, weight, like = held(module), packed(module), torch.empty(0)
    close(unpack(weight, like), wanted)
    close(plain_unpack(weight, like), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_joined_and_given_away_by_their_modules(kind: Quantization) -> None:
    modules = [linear(kind, rows) for rows in (64, 26)]
    wanted = torch.cat([held(module) for module in modules])
    close(unpack(packed(*modules), wanted), wanted)
    assert [module.weight for module in modules] == [None, None]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 17, 70])
@pytest.mark.parametrize("kind", KINDS)
def test_products(kind: Quantization, rows: int, *, gated: bool) -> None:
    x, weight = torch.randn(rows, WIDTH), packed(linear(kind))
    bias = None if gated else torch.randn(COLUMNS)
    found = product(x, weight, bias=bias, gated=gated)
    close(found, plain_multiply(x, weight, bias=bias, gated=gated))


def test_only_formats_that_the_kernels_know_are_known() -> None:
    assert is_known(nn.Linear(3, 3))
    assert all(is_known(linear(kind)) for kind in KINDS)
    other = linear("nf4")
    other.weight.quant_state.quant_type = "fp4"
    assert not is_known(other)
