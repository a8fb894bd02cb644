"""Linears packed as loading packs them."""

from typing import Any

from torch import nn

from serve_app.models.precision import Quantization
from serve_app.models.quantised import LINEARS, PACK

KINDS: tuple[Quantization, ...] = ("int8", "nf4")


def packed(plain: nn.Linear, kind: Quantization) -> Any:
    """A module of bitsandbytes, with the weight quantised on its own device."""
    module = LINEARS[kind](plain, plain.weight.dtype)
    module.weight = PACK[kind](module, plain.weight.data, plain.weight.device)
    if plain.bias is not None:
        module.bias = nn.Parameter(plain.bias.data, requires_grad=False)
    return module


def pack(model: Any, kind: Quantization) -> None:
    """Exchange the linears inside the layers."""
    for name, plain in linears(model):
        model.model.layers.set_submodule(name, packed(plain, kind))


def linears(model: Any) -> list[tuple[str, Any]]:
    """All that are inside the layers, and their names there."""
    modules = model.model.layers.named_modules()
    return [(name, module) for name, module in modules if isinstance(module, nn.Linear)]
