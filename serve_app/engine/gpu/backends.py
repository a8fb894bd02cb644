"""What looks with long chunks: the first of a few packages that is installed and right here.

FlashAttention's packages are nobody's dependency: who installs one has it used. Each is tried when
an engine starts, against attention written out; one that does not suit the card, or that answers
in another way than its name says, is passed over, and the log says why.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from serve_app.engine.gpu.step import Heads
from serve_app.telemetry import log

_TRIED, _PAST = 256, 512  # tokens of the trial
_OFF = 0.02  # of the numbers themselves: what bfloat16 may do to them, and a mistake may not

# Queries [1, H, n, d], keys and values [1, K, L, d], causal (the last query sees the last key),
# scale -> seen [1, H, n, d] and natural log of the sum of weights [1, H, n] float32.
Attend = Callable[[Tensor, Tensor, Tensor, bool, float], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class BackEnd:
    """One way to look."""

    name: str
    module: str  # what must be installed
    attend: Attend
    least_tokens: int  # of a chunk for which gathering pays
    at_once: bool  # whether a chunk and its past can be one look, of any length; else n = L there


@dataclass(frozen=True, slots=True)
class Trial:
    """Where a back end has to be right, and with what."""

    device: torch.device
    dtype: torch.dtype
    heads: Heads

    @torch.inference_mode()
    def passes(self, candidate: BackEnd) -> bool:
        """Look at a little; raises whatever the candidate does."""
        chance = torch.Generator(self.device).manual_seed(0)
        query = self._some(self.heads.queries, _TRIED, chance)
        for causal, tokens in ((True, _TRIED), (candidate.at_once, _PAST)):
            key, value = (self._some(self.heads.keys, tokens, chance) for _ in range(2))
            found = candidate.attend(query, key, value, causal, self.heads.scale)
            exact = query.float(), key.float(), value.float()
            wanted = plain_attend(*exact, causal, self.heads.scale)
            if not all(map(_near, found, wanted)):
                return False
        return True

    def _some(self, count: int, tokens: int, chance: torch.Generator) -> Tensor:
        shape = 1, count, tokens, self.heads.width
        return torch.randn(shape, generator=chance, device=self.device).to(self.dtype)


def by_flash_4(
    query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Attend with the package flash-attn-4."""
    look = import_module("flash_attn.cute").flash_attn_func
    return _rows_first(look, query, key, value, softmax_scale=scale, causal=causal, return_lse=True)


def by_flash_3(
    query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Attend with FlashAttention-3, which calls the sums by the name they once had."""
    look = import_module("flash_attn_interface").flash_attn_func
    how = {"softmax_scale": scale, "causal": causal, "return_attn_probs": True}
    return _rows_first(look, query, key, value, **how)


def by_cudnn(
    query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Attend with torch's cuDNN back end."""
    seen, sums, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(  # noqa: SLF001 - the
        # public function does not return the sums
        query,
        key,
        value,
        None,
        True,
        0.0,
        causal,
        False,
        scale=scale,
    )
    return seen, sums.view(query.shape[:3])


def plain_attend(
    query: Tensor, key: Tensor, value: Tensor, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Attention written out: what every other must come to."""
    group = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(group, 1) for each in (key, value))
    weights = query @ key.mT * scale
    if causal:
        later = torch.ones_like(weights).triu(1 + key.shape[2] - query.shape[2])
        weights = weights.masked_fill(later.bool(), -math.inf)
    return weights.softmax(-1) @ value, weights.logsumexp(-1)


FASTEST_FIRST = (
    BackEnd("FlashAttention-4", "flash_attn.cute", by_flash_4, 512, at_once=True),
    BackEnd("FlashAttention-3", "flash_attn_interface", by_flash_3, 512, at_once=True),
    BackEnd("cuDNN", "torch", by_cudnn, 2048, at_once=False),
)
WRITTEN_OUT = BackEnd("written out", "torch", plain_attend, 1, at_once=True)


@cache
def back_end(device: torch.device, dtype: torch.dtype, heads: Heads) -> BackEnd | None:
    """Return the fastest that works here, None where our own kernel does."""
    if device.type != "cuda":
        return None
    return first_right(FASTEST_FIRST, Trial(device, dtype, heads))


def first_right(table: Sequence[BackEnd], trial: Trial) -> BackEnd | None:
    """Return the first that is installed and right; tell what is wrong with those before it."""
    for each in table:
        reason = _hindrance(each, trial)
        if reason is None:
            return each
        if reason:
            log().warning("attention_package_unused", detail=f"{each.name}: {reason}")
    return None


def _hindrance(candidate: BackEnd, trial: Trial) -> str | None:
    """Say what is wrong with it here; nothing where it is not installed, None: it is right."""
    try:
        if not _is_there(candidate.module):
            return ""
        return None if trial.passes(candidate) else "what it says is not attention"
    except Exception as error:  # noqa: BLE001 - a package of others may raise what it likes
        first_line = str(error).partition("\n")[0]
        return f"{type(error).__name__}: {first_line}"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # nor what it would be a part of
        return False


def _near(found: Tensor, wanted: Tensor) -> bool:
    if found.shape != wanted.shape:
        return False
    return bool((found.float() - wanted).norm() <= _OFF * wanted.norm())


def _rows_first(
    look: Callable[..., Any], query: Tensor, key: Tensor, value: Tensor, **how: Any
) -> tuple[Tensor, Tensor]:
    """Call one of FlashAttention's functions: they take and return [1, n, H, d]."""
    seen, sums = look(*(each.transpose(1, 2) for each in (query, key, value)), **how)
    return seen.transpose(1, 2), sums
