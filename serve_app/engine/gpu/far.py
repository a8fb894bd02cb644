"""Attention of long chunks by cuDNN, which comes with torch and is half as fast again as our own.

It knows neither pages nor a chunk with a past: keys and values are gathered, which costs little
beside so many looks, and past and chunk are looked at apart and merged by their weights. It also
plans each pair of lengths when it first sees it, which can take as long as a short step: so the
past is looked at in pieces of few different lengths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad

from serve_app.engine.gpu.kernels.decode import gather
from serve_app.engine.gpu.step import Heads, Kept

GRAIN = 256  # tokens: lengths are multiples of it
LEAST_TOKENS = 2048 - GRAIN + 1  # of a chunk: whole grains make it as long as a document's others
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
    """Look with a chunk's part of `query` [T, H, d]; fill its part of `out` [T, H * d].

    Looks begin and end at whole grains: beside the chunk's own queries others are computed, up to
    a grain before and behind, and dropped.
    """
    its = slice(chunk.line, chunk.line + chunk.count)
    begin, end = chunk.start // GRAIN * GRAIN, chunk.start + chunk.count
    before, behind = chunk.start - begin, -end % GRAIN
    asks = pad(query[its].transpose(0, 1), (0, 0, before, behind))[None]  # [1, H, m, d]
    pages = table[chunk.seat]
    key, value = pad(_read(kept, pages, begin, end, query.dtype), (0, 0, 0, behind))
    looks = [attend(asks, key, value, True, heads.scale)]
    for here, there in pairwise(borders(begin)):
        key, value = _read(kept, pages, here, there, query.dtype)
        looks.append(attend(asks, key, value, False, heads.scale))
    seen = _merged(looks)[0, :, before : before + chunk.count]
    out[its] = seen.transpose(0, 1).flatten(1)


def borders(tokens: int) -> list[int]:
    """Cut whole grains into pieces of 1, 2, 4, ... grains, the longest first."""
    bits = reversed(range((tokens // GRAIN).bit_length()))
    pieces = [GRAIN << bit for bit in bits if tokens // GRAIN >> bit & 1]
    return [*accumulate(pieces, initial=0)]


def _read(kept: Kept, pages: Tensor, begin: int, end: int, dtype: torch.dtype) -> Tensor:
    """Keys and values of some tokens side by side: [2, 1, K, end - begin, d]."""
    first = begin // kept.page_tokens
    skipped = begin - first * kept.page_tokens
    both = gather(kept, pages[first:], end - begin + skipped, dtype)
    return both[:, None, :, skipped:]


def _merged(looks: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Put looks of the same queries together by the sums of their weights."""
    seen, sums = looks[0]
    whole = seen.float()
    for part, part_sums in looks[1:]:
        whole = torch.lerp(whole, part.float(), torch.sigmoid(part_sums - sums)[..., None])
        sums = torch.logaddexp(sums, part_sums)
    return whole.to(seen.dtype)


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
