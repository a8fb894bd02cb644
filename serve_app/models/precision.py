"""In which numbers a model's weights are held, and how many bytes that takes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serve_app.errors import BadModel, BadSettings
from serve_app.models.blueprint import Source
from serve_app.models.tensors import FLOATS

Dtype = Literal["float32", "bfloat16", "float16"]
Quantization = Literal["none", "nf4", "int8"]

ITEM_BYTES: Mapping[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}

# The products inside the layers; embedding, head, norms and biases stay as they are.
_PRODUCT = re.compile(r"model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight")
_PLAIN = (".weight", ".bias")  # other names are statistics of a quantised weight

_SCALE = 4  # bytes; scales are float32 numbers
_NF4_BLOCK = 64  # weights that share a scale
_NF4_TABLE = 16 * _SCALE  # what the codes mean
_NF4_SCALES = ".absmax"  # a stored weight may have them in bytes, themselves scaled by what is...
_NESTED = (".nested_absmax", ".nested_quant_map")  # ...read, and then of no use


@dataclass(frozen=True, slots=True)
class Precision:
    """`dtype` is what is computed with; quantised weights are held in less."""

    dtype: Dtype
    quantization: Quantization = "none"
    stored: bool = False  # the checkpoint is quantised already

    def quantises(self, name: str) -> bool:
        """Whether this tensor of the model is to be quantised while it is read."""
        fresh = self.quantization != "none" and not self.stored
        return fresh and bool(_PRODUCT.fullmatch(name))

    def bytes(self, name: str, source: Source) -> int:
        """What a tensor takes once it is in memory."""
        if self.quantises(name):
            return _packed(source, self.quantization)
        if name.endswith(_NESTED):
            return 0
        if name.endswith(_NF4_SCALES):
            return source.count * _SCALE
        if source.stored.dtype not in FLOATS or not name.endswith(_PLAIN):
            return source.bytes
        return source.count * ITEM_BYTES[self.dtype]

    def unpacked_bytes(self, name: str, source: Source) -> int:
        """What a product's weight takes in the numbers that are computed with; others: 0."""
        if self.quantization == "none" or not _PRODUCT.fullmatch(name):
            return 0
        each = 2 if self.stored and self.quantization == "nf4" else 1  # codes in a byte
        return each * source.count * ITEM_BYTES[self.dtype]


def stored_quantization(config: Mapping[str, Any]) -> Quantization:
    """How a checkpoint is quantised already; raises BadModel if that is not read here."""
    said = config.get("quantization_config")
    if said is None:
        return "none"
    said = said if isinstance(said, dict) else {}
    if said.get("quant_method") == "bitsandbytes" and said.get("load_in_4bit"):
        return "nf4"
    if said.get("quant_method") == "bitsandbytes" and said.get("load_in_8bit"):
        return "int8"
    raise BadModel(
        f"The model is quantised by {said.get('quant_method')!r}, which is not read here; "
        "take the model in BF16 and set model.quantization to nf4 or int8."
    )


def precision(dtype: Dtype, wanted: Quantization, config: Mapping[str, Any]) -> Precision:
    """Bring settings and checkpoint together; raises BadSettings if they contradict."""
    there = stored_quantization(config)
    if there == "none":
        return Precision(dtype, wanted)
    if wanted not in ("none", there):
        raise BadSettings(
            f"model.quantization: expected none or {there}, for the model is stored in {there}."
        )
    return Precision(dtype, there, stored=True)


def _packed(source: Source, quantization: Quantization) -> int:
    count = source.count
    if quantization == "int8":
        return count + _SCALE * source.shape[0]  # one a row
    return -(-count // 2) + _SCALE * -(-count // _NF4_BLOCK) + _NF4_TABLE
