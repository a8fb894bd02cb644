"""Small random models of both families, saved as transformers saves them."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BitsAndBytesConfig,
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
)

from serve_app.models import blueprint
from serve_app.models.fill import fill
from serve_app.models.precision import Quantization, precision
from serve_app.models.skeleton import FAMILIES, skeleton

VOCABULARY = 512
CLASSES: Mapping[str, tuple[Any, Any]] = {
    "glm": (GlmConfig, GlmForCausalLM),
    "glm4": (Glm4Config, Glm4ForCausalLM),
}


def save(folder: Path, family: str, **fields: Any) -> None:
    torch.manual_seed(0)
    config, model = CLASSES[family]
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "eos_token_id": [1],
        "initializer_range": 0.15,
    }
    model(config(**sizes | fields)).save_pretrained(folder)


def read(folder: Path, wanted: Quantization = "none") -> Any:
    """Our own way into memory."""
    built = blueprint.architecture(folder)
    held = precision("float32", wanted, built.fields)
    sources = blueprint.sources(folder, built)
    model = skeleton(built, held, sources)
    fill(model, sources, held, torch.device("cpu"))
    return model


def reference(folder: Path, wanted: Quantization = "none", *, nested: bool = False) -> Any:
    """The way of transformers; `nested`: with scales that are quantised themselves."""
    quantisation = copy.copy(QUANTIZATIONS[wanted])
    if nested:
        quantisation.bnb_4bit_use_double_quant = True
    family = blueprint.architecture(folder).family
    return FAMILIES[family][1].from_pretrained(
        folder,
        dtype=torch.float32,
        device_map="cpu",
        quantization_config=quantisation,
        local_files_only=True,
    )


QUANTIZATIONS: Mapping[Quantization, Any] = {
    "none": None,
    "nf4": BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32,
    ),
    "int8": BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0),
}
