"""Where a model goes and whether it fits: arithmetic on facts already gathered, all in bytes."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.errors import BadModel, BadSettings
from serve_app.models.precision import ITEM_BYTES, Dtype
from serve_app.settings import ModelSettings

Device = Literal["cpu", "cuda"]

# What interpreter, libraries and allocators take beside what is counted.
WORKSPACE_BYTES = 256 * 2**20

_KIB, _GIB = 2**10, 2**30


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the model runs and in which numbers it computes."""

    device: Device
    dtype: Dtype


class KvShape(BaseModel):
    """The part of a config that sizes the KV cache.

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

    @property
    def scaled_bytes_per_token(self) -> int:
        """The same in 8-bit floats, each head's with a scale of four bytes."""
        heads = 2 * self.num_hidden_layers * self.num_key_value_heads
        return heads * (self.head_dim + ITEM_BYTES["float32"])


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a model needs against what is free on its device; of one rank, if there are several."""

    weights_bytes: int
    kv_bytes_per_token: int
    kv_tokens: int
    free_bytes: int
    work_bytes: int = WORKSPACE_BYTES
    window_limit: int = 0  # tokens of which a CPU may keep copies side by side
    largest_bytes: int = 0  # the weight that is laid out anew, before there is a cache
    ranks: int = 1
    host_tokens: int = 0  # of a second KV cache, in the host's memory
    host_free_bytes: int | None = None  # None: it is the device's

    @property
    def host_bytes(self) -> int:
        return self.kv_bytes_per_token * self.host_tokens

    @property
    def kv_bytes(self) -> int:
        return self.kv_bytes_per_token * self.kv_tokens

    @property
    def window_tokens(self) -> int:
        """Tokens copied side by side; padding may double those of the cache."""
        return min(self.window_limit, 2 * self.kv_tokens)

    @property
    def spare_bytes(self) -> int:
        """What is needed beside weights and KV cache."""
        own = self.host_bytes if self.host_free_bytes is None else 0
        return self.work_bytes + self.kv_bytes_per_token * self.window_tokens + own

    @property
    def needed_bytes(self) -> int:
        return self.weights_bytes + max(self.kv_bytes + self.spare_bytes, self.largest_bytes)

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.free_bytes and self.fits_host

    @property
    def fits_host(self) -> bool:
        return self.host_free_bytes is None or self.host_bytes <= self.host_free_bytes

    @property
    def kv_tokens_that_fit(self) -> int:
        """The largest KV cache beside these weights; 0 if not even they fit."""
        own = self.host_bytes if self.host_free_bytes is None else 0
        left = self.free_bytes - self.weights_bytes - own
        if left < self.largest_bytes:
            return 0
        tokens = (left - self.work_bytes) // self.kv_bytes_per_token  # cache and copies together
        limit = self.window_limit
        return max(0, tokens - limit, min(tokens // 3, limit // 2))

    @property
    def kv_tokens_per_gib(self) -> int:
        return _GIB // self.kv_bytes_per_token

    @property
    def mend(self) -> str:
        """What would make it fit."""
        if self.kv_tokens_that_fit:
            return f"Set engine.kv_tokens to {self.kv_tokens_that_fit} or less, or free memory."
        return (
            "Choose a smaller model, a smaller model.dtype or model.quantization, "
            "or a larger machine."
        )

    @property
    def parts(self) -> str:
        """What the need is made of."""
        return (
            f"{gib(self.weights_bytes)} of weights, {gib(self.kv_bytes)} for {self.kv_tokens} KV "
            f"tokens, {gib(self.spare_bytes)} to work in"
        )

    @property
    def host_told(self) -> str:
        """What a host beside the device gives; empty: nothing."""
        if self.host_free_bytes is None or not self.host_tokens:
            return ""
        return (
            f"; {gib(self.host_bytes)} of {gib(self.host_free_bytes)} free on the host for "
            f"{self.host_tokens} KV tokens more"
        )

    def where(self, device: Device) -> str:
        return device if self.ranks == 1 else f"each {device} of {self.ranks}"

    def told(self, device: Device) -> str:
        """The plan in one line, for a log."""
        return (
            f"{gib(self.needed_bytes)} of {gib(self.free_bytes)} free on {self.where(device)}: "
            f"{self.parts}; "
            f"{kib(self.kv_bytes_per_token)} a KV token, {self.kv_tokens_per_gib} a GiB, "
            f"{self.kv_tokens_that_fit} would fit{self.host_told}"
        )


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
    if not plan.fits_host:
        free = plan.host_free_bytes or 0
        raise BadModel(
            f"engine.host_kv_tokens: {plan.host_tokens} take {gib(plan.host_bytes)} of the host's "
            f"memory, of which {gib(free)} are free"
            f"{'' if plan.ranks == 1 else f' for each of {plan.ranks} ranks'}. "
            f"Set it to {free // plan.kv_bytes_per_token} or less."
        )
    if not plan.fits:
        raise BadModel(
            f"The model needs {gib(plan.needed_bytes)} ({plan.parts}), but "
            f"{plan.where(device)} has "
            f"{gib(plan.free_bytes)} free. {plan.mend}"
        )


def gib(count: int) -> str:
    """Bytes as a person reads them."""
    return f"{count / _GIB:.2f} GiB"


def kib(count: int) -> str:
    """Likewise what is small."""
    return f"{count / _KIB:g} KiB"
