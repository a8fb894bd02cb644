"""Attention of long chunks by cuDNN, which comes with torch and is half as fast again as our own.

It knows neither pages nor a chunk with a past: keys and values are gathered, which costs little
beside so many looks, and past and chunk are looked at apart and merged by their weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from serve_app.engine.gpu.kernels.decode import gather
from serve_app.engine.gpu.step import Heads, Kept

LEAST_TOKENS = 2048  # of a chunk
LEAST_SEEN = 4096  # tokens that its last one sees

# Queries [1, H, n, d], keys and values [1, K, L, d], causal, scale -> seen [1, H, n, d] and
# log of the sum of weights [1, H, n].
Attend = Callable[[Tensor, Tensor, Tensor, bool, float], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk, as the host knows it."""

    line: int  # its first token among all chunks'
    start: int  # tokens before it
    count: int
    seat: int

    @property
    def far(self) -> bool:
        """Whether gathering pays."""
        return self.count >= LEAST_TOKENS and self.start + self.count >= LEAST_SEEN


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


def look_far(
    query: Tensor,
    chunk: Chunk,
    table: Tensor,
    heads: Heads,
    kept: Kept,
    *,
    out: Tensor,
    attend: Attend = by_cudnn,
) -> None:
    """Look with a chunk's part of `query` [T, H, d]; fill its part of `out` [T, H * d]."""
    its = slice(chunk.line, chunk.line + chunk.count)
    asks = query[its].transpose(0, 1)[None]  # [1, H, n, d]
    end = chunk.start + chunk.count
    both = gather(kept, table[chunk.seat], end, query.dtype)[:, None]  # [2, 1, K, end, d]
    key, value = both[..., chunk.start :, :]
    seen, sums = attend(asks, key, value, True, heads.scale)
    if chunk.start:
        key, value = both[..., : chunk.start, :]
        before, before_sums = attend(asks, key, value, False, heads.scale)
        share = torch.sigmoid(before_sums - sums)[..., None].to(seen.dtype)
        seen = torch.lerp(seen, before, share)
    out[its] = seen[0].transpose(0, 1).flatten(1)


@cache
def has_cudnn(device: torch.device, dtype: torch.dtype, heads: Heads) -> bool:
    """Try it once: whether cuDNN takes these shapes depends on card, torch and cuDNN."""
    if device.type != "cuda":
        return False
    query = torch.zeros(1, heads.queries, 128, heads.width, dtype=dtype, device=device)
    key = torch.zeros(1, heads.keys, 128, heads.width, dtype=dtype, device=device)
    try:
        seen, sums = by_cudnn(query, key, key, True, heads.scale)
    except (RuntimeError, AttributeError):
        return False
    return seen.shape == query.shape and sums.shape == query.shape[:3]
