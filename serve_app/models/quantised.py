"""Products inside the layers held in 4 or 8 bits, in bitsandbytes' formats; other weights stay."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from serve_app.models.precision import Quantization

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns at every product

import bitsandbytes  # noqa: E402 -- it speaks when it is imported

Stats = Mapping[str, Tensor]  # what a stored 4-bit or 8-bit weight has beside it, by last name

STATS: Mapping[Quantization, tuple[str, ...]] = {
    "nf4": ("absmax", "quant_map", "nested_absmax", "nested_quant_map", "quant_state"),
    "int8": ("SCB", "weight_format"),
}


def nf4_linear(plain: nn.Linear, dtype: torch.dtype) -> Any:
    """An empty 4-bit linear of that shape; scales stay as they are."""
    return bitsandbytes.nn.Linear4bit(
        plain.in_features,
        plain.out_features,
        plain.bias is not None,
        compute_dtype=dtype,
        compress_statistics=False,
        quant_type="nf4",
        device="meta",
    )


def int8_linear(plain: nn.Linear, _: torch.dtype) -> Any:
    """An empty 8-bit linear of that shape.

    A threshold would look for outliers at each product, which no CUDA graph can hold.
    """
    return bitsandbytes.nn.Linear8bitLt(
        plain.in_features,
        plain.out_features,
        plain.bias is not None,
        has_fp16_weights=False,
        threshold=0.0,
        device="meta",
    )


LINEARS: Mapping[Quantization, Callable[[nn.Linear, torch.dtype], Any]] = {
    "nf4": nf4_linear,
    "int8": int8_linear,
}


def pack_nf4(linear: Any, weight: Tensor, device: torch.device) -> nn.Parameter:
    """Quantise a weight on its device."""
    packed: nn.Parameter = bitsandbytes.nn.Params4bit(
        weight.to(device),
        requires_grad=False,
        compress_statistics=False,
        quant_type="nf4",
        module=linear,
    ).to(device)
    return packed


def pack_int8(_: Any, weight: Tensor, device: torch.device) -> nn.Parameter:
    """Quantise a weight on its way from the host to its device."""
    packed: nn.Parameter = bitsandbytes.nn.Int8Params(
        weight.cpu(), requires_grad=False, has_fp16_weights=False
    ).to(device)
    return packed


PACK: Mapping[Quantization, Callable[[Any, Tensor, torch.device], nn.Parameter]] = {
    "nf4": pack_nf4,
    "int8": pack_int8,
}


def unpack_nf4(linear: Any, weight: Tensor, stats: Stats, device: torch.device) -> nn.Parameter:
    """Take a weight that was stored in 4 bits; raises ValueError if its statistics do not fit."""
    packed: nn.Parameter = bitsandbytes.nn.Params4bit.from_prequantized(
        data=weight, quantized_stats=dict(stats), device=device, module=linear
    )
    shape, state = (linear.out_features, linear.in_features), linear.quant_state
    if tuple(state.shape) != shape:
        raise ValueError(f"it is of shape {tuple(state.shape)}, not {shape}")
    if state.nested:
        _unnest(state)
    return packed


def _unnest(state: Any) -> None:
    """Keep scales that were quantised themselves as the float32 numbers that they stand for."""
    state.absmax = bitsandbytes.functional.dequantize_blockwise(state.absmax, state.state2)
    state.absmax += state.offset
    state.nested, state.state2, state.offset = False, None, None


def unpack_int8(_: Any, weight: Tensor, stats: Stats, device: torch.device) -> nn.Parameter:
    """Take a weight that was stored in 8 bits."""
    packed: nn.Parameter = bitsandbytes.nn.Int8Params(
        weight, requires_grad=False, has_fp16_weights=False, SCB=stats["SCB"]
    ).to(device)
    return packed


UNPACK: Mapping[Quantization, Callable[[Any, Tensor, Stats, torch.device], nn.Parameter]] = {
    "nf4": unpack_nf4,
    "int8": unpack_int8,
}
