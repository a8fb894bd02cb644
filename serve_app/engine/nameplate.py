"""What an engine computes with, for the log: a slow one is told from a fast one by a line."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from serve_app.settings import EngineSettings

Nameplate = Mapping[str, str | int]  # fields of the log

OWN_KERNELS = "own kernels"  # as `runner`


def nameplate(model: Any, settings: EngineSettings) -> Nameplate:
    """Read it from a model before a runner takes packed weights away; the runner knows the rest."""
    return {
        **_place(model.device),
        "weights": _weights(model),
        "tensor_parallel": settings.tensor_parallel,
        "kv_tokens": settings.kv_tokens,
        "host_kv_tokens": settings.host_kv_tokens,
    }


def leaves_kernels_unused(plate: Nameplate) -> bool:
    """Whether transformers' modules compute on a GPU."""
    return plate.get("device") == "cuda" and plate.get("runner") != OWN_KERNELS


def name_of(dtype: torch.dtype) -> str:
    """As settings write it."""
    return "fp8" if dtype == torch.float8_e4m3fn else str(dtype).removeprefix("torch.")


def _place(device: torch.device) -> Nameplate:
    """Cards of one generation have one compute capability: sm_90 is Hopper."""
    if device.type != "cuda":
        return {"device": device.type}
    generation = "".join(map(str, torch.cuda.get_device_capability(device)))
    card = f"{torch.cuda.get_device_name(device)} (sm_{generation})"
    return {"device": device.type, "card": card}


def _weights(model: Any) -> str:
    """In what the products inside the layers are held."""
    linear: Any = next(each for each in model.modules() if isinstance(each, nn.Linear))
    if type(linear) is nn.Linear:
        return name_of(linear.weight.dtype)
    state = getattr(linear.weight, "quant_state", None)  # as bitsandbytes keeps 4 bits
    return "int8" if state is None else str(state.quant_type)
