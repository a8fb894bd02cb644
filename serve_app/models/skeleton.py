"""A model without weights: every module of it, on no device."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import Glm4Config, Glm4ForCausalLM, GlmConfig, GlmForCausalLM

from serve_app.errors import BadModel
from serve_app.models.blueprint import Architecture, Family, Source
from serve_app.models.precision import Dtype, Precision
from serve_app.models.shares import HEAD
from serve_app.models.tensors import FLOATS

DTYPES: Mapping[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
FAMILIES: Mapping[Family, tuple[Any, Any]] = {
    "glm": (GlmConfig, GlmForCausalLM),
    "glm4": (Glm4Config, Glm4ForCausalLM),
}


def skeleton(built: Architecture, precision: Precision, sources: Mapping[str, Source]) -> Any:
    """Build the modules; raises BadModel if transformers does not take the config.

    The head has as many rows as its source: a rank scores only its own words.

    Made by its constructor, not by from_pretrained, which sets the whole process's number format
    meanwhile: another model may be serving beside this one.
    """
    config_class, model_class = FAMILIES[built.family]
    try:
        config = config_class.from_dict(dict(built.fields))
        config.dtype = DTYPES[precision.dtype]
        with torch.device("meta"):
            model = model_class(config)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        told = str(error).strip().partition("\n")[0]
        raise BadModel(f"transformers does not take this model's config.json: {told}") from error
    if HEAD in sources and sources[HEAD].shape[0] < config.vocab_size:
        model.lm_head = nn.Linear(config.hidden_size, sources[HEAD].shape[0], False, "meta")
        model.lm_head.to(DTYPES[precision.dtype])
    if precision.quantization != "none":
        _exchange(model, precision, sources)
    return model.requires_grad_(False).eval()


def _exchange(model: Any, precision: Precision, sources: Mapping[str, Source]) -> None:
    """Put a quantised linear wherever its weight is, or is to be, quantised."""
    from serve_app.models.quantised import LINEARS  # noqa: PLC0415 -- slow, and seldom wanted

    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and _is_quantised(f"{name}.weight", precision, sources):
            exchanged = LINEARS[precision.quantization](module, DTYPES[precision.dtype])
            model.set_submodule(name, exchanged)


def _is_quantised(name: str, precision: Precision, sources: Mapping[str, Source]) -> bool:
    if not precision.stored:
        return precision.quantises(name)
    return name in sources and sources[name].stored.dtype not in FLOATS
