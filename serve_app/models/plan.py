"""Where a model goes and whether it fits: arithmetic on facts already gathered, all in bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.errors import BadModel, BadSettings
from serve_app.settings import ModelSettings

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16"]

ITEM_BYTES: Mapping[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}

# Activations, logits and what the allocator cannot use: not in the plan token by token.
WORKSPACE_BYTES = 256 * 2**20

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the model runs and how its numbers are stored."""

    device: Device
    dtype: Dtype


class KvShape(BaseModel):
    """The part of config.json that sizes the KV cache.

    Every field must be written: the class defaults belong to another model.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    num_hidden_layers: Annotated[int, Field(ge=1)]
    num_key_value_heads: Annotated[int, Field(ge=1)]
    head_dim: Annotated[int, Field(ge=1)]

    def bytes_per_token(self, dtype: Dtype) -> int:
        """Keys and values of one token over all layers."""
        numbers = 2 * self.num_hidden_layers * self.num_key_value_heads * self.head_dim
        return numbers * ITEM_BYTES[dtype]


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a model needs against what is free on its device."""

    weights_bytes: int
    kv_bytes_per_token: int
    kv_tokens: int
    free_bytes: int

    @property
    def kv_bytes(self) -> int:
        return self.kv_bytes_per_token * self.kv_tokens

    @property
    def needed_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + WORKSPACE_BYTES

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.free_bytes

    @property
    def kv_tokens_that_fit(self) -> int:
        """The largest KV cache beside these weights; 0 if not even they fit."""
        left = self.free_bytes - self.weights_bytes - WORKSPACE_BYTES
        return max(0, left // self.kv_bytes_per_token)

    @property
    def mend(self) -> str:
        """What would make it fit."""
        if self.kv_tokens_that_fit:
            return f"Set engine.kv_tokens to {self.kv_tokens_that_fit} or less, or free memory."
        return "Choose a smaller model, a smaller model.dtype or a larger machine."


def place(wanted: ModelSettings, *, cuda_available: bool) -> Placement:
    """Resolve `auto`: a GPU where there is one, and the number format that is fast there."""
    if wanted.device == "cuda" and not cuda_available:
        raise BadSettings("model.device: expected a GPU that torch can use, found none; set cpu.")
    automatic: Device = "cuda" if cuda_available else "cpu"
    device = automatic if wanted.device == "auto" else wanted.device
    fast: Dtype = "bfloat16" if device == "cuda" else "float32"
    return Placement(device, fast if wanted.dtype == "auto" else wanted.dtype)


def refuse_unless_fits(plan: MemoryPlan, device: Device) -> None:
    """Raise BadModel with the numbers and what to change."""
    if not plan.fits:
        raise BadModel(
            f"The model needs {gib(plan.needed_bytes)} ({gib(plan.weights_bytes)} of weights, "
            f"{gib(plan.kv_bytes)} for {plan.kv_tokens} KV tokens, {gib(WORKSPACE_BYTES)} to work "
            f"in), but {device} has {gib(plan.free_bytes)} free. {plan.mend}"
        )


def gib(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / _GIB:.2f} GiB"
