"""Attention over paged keys and values, called by the unmodified Hugging Face modules.

One batch is one row of T tokens: first D single tokens, then chunks of prompts. Keys and values
lie in pages of P tokens; the page after the last stays zero and pads short page tables.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend
from transformers import AttentionInterface

NAME = "glm_paged"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `begin` to `end` of the batch: one prompt's next tokens, after `past` others."""

    begin: int
    end: int
    past: int
    pages: Tensor  # [ceil(L / P)], L = past + end - begin
    mask: Tensor | None  # [end - begin, L]: 0 where a token may look, else -inf; None: no past


@dataclass(frozen=True, slots=True)
class PagedBatch:
    """What attention needs to know of a batch beside the queries, keys and values."""

    cache: "PagedCache"
    slots: Tensor  # [T]: page * P + place in the page, where each token's keys go
    table: Tensor  # [D, M]: pages of the single tokens' sequences, padded
    mask: Tensor  # [D, 1, 1, M * P]: 0 where a token may look, else -inf
    chunks: tuple[Chunk, ...]


class PagedCache:
    """Keys and values of all layers; layer l: [pages + 1, P, heads, head_dim]."""

    def __init__(self, layers: int, shape: tuple[int, int, int, int], like: Tensor) -> None:
        pages, *rest = shape
        self.pad_page = pages
        self.page_tokens = shape[1]
        self.keys = [like.new_zeros(pages + 1, *rest) for _ in range(layers)]
        self.values = [like.new_zeros(pages + 1, *rest) for _ in range(layers)]

    def write(self, layer: int, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Keys and values: [1, heads, T, head_dim]."""
        for pages, new in ((self.keys[layer], keys), (self.values[layer], values)):
            pages.flatten(0, 1).index_copy_(0, slots, new[0].transpose(0, 1))

    def gather(self, layer: int, pages: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of `pages` [B, M], each [B, heads, M * P, head_dim]."""
        return _gather(self.keys[layer], pages), _gather(self.values[layer], pages)

    def heal(self, pages: list[int]) -> None:
        """Replace what is not a number: even masked, it would spread to the pages' next owner."""
        index = torch.tensor(pages, device=self.keys[0].device)
        for layer in (*self.keys, *self.values):
            layer[index] = layer[index].nan_to_num(0.0, 0.0, 0.0)


def paged_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: None,
    *,
    scaling: float,
    paged: PagedBatch,
    **_: Any,
) -> tuple[Tensor, None]:
    """Write the new keys and values, then look. Query [1, H, T, d] -> [1, T, H, d]."""
    layer = module.layer_idx
    paged.cache.write(layer, paged.slots, key, value)
    out = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    singles = len(paged.table)
    if singles:
        out[0, :singles] = _attend_singles(layer, query[0, :, :singles], paged, scaling)
    for chunk in paged.chunks:
        rows = slice(chunk.begin, chunk.end)
        out[0, rows] = _attend_chunk(layer, query[:, :, rows], chunk, paged.cache, scaling)
    return out, None


def _attend_singles(layer: int, query: Tensor, paged: PagedBatch, scaling: float) -> Tensor:
    """Query [H, D, d] -> [D, H, d]; query heads that share a key head are looked up together."""
    keys, values = paged.cache.gather(layer, paged.table)
    heads, singles, width = query.shape
    grouped = query.transpose(0, 1).reshape(singles, keys.shape[1], -1, width)
    seen = attend(grouped, keys, values, attn_mask=paged.mask, scale=scaling)
    return seen.reshape(singles, heads, width)


def _attend_chunk(
    layer: int, query: Tensor, chunk: Chunk, cache: PagedCache, scaling: float
) -> Tensor:
    """Query [1, H, n, d] -> [n, H, d]."""
    keys, values = cache.gather(layer, chunk.pages[None])
    length = chunk.past + query.shape[2]
    seen = attend(
        query,
        keys[:, :, :length],
        values[:, :, :length],
        attn_mask=chunk.mask,
        is_causal=chunk.mask is None,
        scale=scaling,
        enable_gqa=True,
    )
    return seen[0].transpose(0, 1)


def _gather(cache: Tensor, pages: Tensor) -> Tensor:
    """Whole pages are copied as rows: half the cost of indexing with [B, M]."""
    rows = cache.flatten(1).index_select(0, pages.flatten())
    return rows.view(len(pages), -1, *cache.shape[2:]).transpose(1, 2)


AttentionFunction = Callable[..., tuple[Tensor, None]]


def register(function: AttentionFunction = paged_attention) -> str:
    """Make a function known to transformers; return the name to set on a model."""
    AttentionInterface.register(NAME, function)
    return NAME
