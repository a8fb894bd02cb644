"""Attention over paged keys and values, called by the unmodified Hugging Face modules.

One batch is one row of T tokens: first single tokens, in groups of similar length, then chunks of
prompts. Keys and values lie in pages of P tokens; the page after the last stays zero and pads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "glm_paged"


@dataclass(frozen=True, slots=True)
class Group:
    """Tokens `begin` to `end` of the batch: D single ones, each of another sequence."""

    begin: int
    end: int
    window: "Window"
    places: Tensor  # [D]: where the new tokens go in the window
    mask: Tensor  # [D, 1, 1, L]: 0 where a token may look, else -inf; L: the longest sequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `begin` to `end` of the batch: one prompt's next tokens."""

    begin: int
    end: int
    past: "Past | None"


@dataclass(frozen=True, slots=True)
class Past:
    """Where a chunk finds its L tokens, itself included, and which of them each may see."""

    pages: Tensor  # [ceil(L / P)]
    mask: Tensor  # [end - begin, L]: 0 where a token may look, else -inf


@dataclass(frozen=True, slots=True)
class PagedBatch:
    """What attention needs to know of a batch beside the queries, keys and values."""

    cache: "PagedCache"
    slots: Tensor  # [T]: page * P + place in the page, where each token's keys go
    groups: tuple[Group, ...]
    chunks: tuple[Chunk, ...]


class PagedCache:
    """Keys and values of all layers; layer l: [pages + 1, P, keys' heads + values' heads, d].

    Keys and values lie side by side, so that one copy a layer writes or gathers both.
    """

    def __init__(self, layers: int, shape: tuple[int, int, int, int], like: Tensor) -> None:
        """`shape` is pages, P, key heads and d; `like` has dtype and device."""
        pages, self.page_tokens, heads, width = shape
        self.pad_page = pages
        self.heads = heads
        self.whole = like.new_zeros(layers, pages + 1, self.page_tokens, 2 * heads, width)
        self.layers = list(self.whole.unbind())
        self._tokens = [layer.flatten(0, 1) for layer in self.layers]
        self._pages = [layer.flatten(1) for layer in self.layers]

    def write(self, layer: int, slots: Tensor, both: Tensor) -> None:
        """Keys and values side by side, [T, 2 * heads, d]."""
        self._tokens[layer].index_copy_(0, slots, both)

    def copy(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Copy whole pages, from and to: who writes to a shared page first gets its own."""
        sources, targets = torch.tensor(pairs, device=self.layers[0].device).unbind(-1)
        for pages in self._pages:
            pages.index_copy_(0, targets, pages.index_select(0, sources))

    def gather(self, layer: int, pages: Tensor) -> Tensor:
        """Return the tokens of `pages` [M], side by side: [M * P, 2 * heads, d]."""
        rows = self._pages[layer].index_select(0, pages)  # whole pages: half the cost of tokens
        return rows.view(-1, *self.layers[layer].shape[2:])

    def split(self, both: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Turn [D, L or more, 2 * heads, d] into keys and values [D, heads, L, d]."""
        both = both[:, :length].transpose(1, 2)
        return both[:, : self.heads], both[:, self.heads :]

    def heal(self, pages: list[int]) -> None:
        """Replace what is not a number: even masked, it would spread to the pages' next owner."""
        index = torch.tensor(pages, device=self.layers[0].device)
        for layer in self.layers:
            layer[index] = layer[index].nan_to_num(0.0, 0.0, 0.0)


class Window:
    """The pages of D sequences, copied side by side; kept, it needs only each step's new tokens."""

    def __init__(self, cache: PagedCache, pages: Tensor, rows: int, *, keep: bool) -> None:
        """`pages` [D * M]: M a sequence, padded."""
        self.width = len(pages) // rows * cache.page_tokens  # tokens a sequence
        self._cache = cache
        self._pages = pages
        self._rows = rows
        self.keep = keep
        self._layers: dict[int, Tensor] = {}

    def look(self, layer: int, group: Group, new: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values with the `new` ones [D, 2 * heads, d], which the pages have."""
        both = self._layers.get(layer)
        if both is not None:
            both.index_copy_(0, group.places, new)
        else:
            both = self._cache.gather(layer, self._pages)
            if self.keep:
                self._layers[layer] = both
        rows = both.view(self._rows, self.width, *both.shape[1:])
        return self._cache.split(rows, group.mask.shape[-1])


def attend(layer: int, query: Tensor, both: Tensor, scaling: float, paged: PagedBatch) -> Tensor:
    """Write the new keys and values, then look.

    Query [T, H, d], keys and values side by side [T, 2 * heads, d] -> [T, H, d].
    """
    cache = paged.cache
    cache.write(layer, paged.slots, both)
    seen = []
    for group in paged.groups:
        its = slice(group.begin, group.end)
        keys, values = group.window.look(layer, group, both[its])
        seen.append(_attend_singles(query[its], keys, values, group.mask, scaling))
    for chunk in paged.chunks:
        its = slice(chunk.begin, chunk.end)
        if chunk.past:
            mask = chunk.past.mask
            keys, values = cache.split(cache.gather(layer, chunk.past.pages)[None], mask.shape[-1])
            seen.append(_attend_past(query[its], keys, values, mask, scaling))
        else:
            keys, values = cache.split(both[None, its], chunk.end - chunk.begin)
            seen.append(_attend_itself(query[its], keys, values, scaling))
    return seen[0] if len(seen) == 1 else torch.cat(seen)


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
    """`attend` as Hugging Face modules call it: [1, heads, T, d] -> [1, T, H, d]."""
    both = torch.cat((key, value), dim=1)[0].transpose(0, 1)
    return attend(module.layer_idx, query[0].transpose(0, 1), both, scaling, paged)[None], None


def _attend_singles(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float
) -> Tensor:
    """Query [D, H, d], keys and values [D, heads, L, d] -> [D, H, d].

    Query heads that share a key head are looked up together.
    """
    grouped = query.view(len(query), keys.shape[1], -1, query.shape[-1])
    seen = scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scaling)
    return seen.flatten(1, 2)


def _attend_itself(query: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
    """Query [n, H, d], keys and values [1, heads, n, d] -> [n, H, d]."""
    seen = scaled_dot_product_attention(
        query.transpose(0, 1)[None], keys, values, is_causal=True, scale=scaling, enable_gqa=True
    )
    return seen[0].transpose(0, 1)


def _attend_past(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float
) -> Tensor:
    """Query [n, H, d], keys and values [1, heads, L, d] -> [n, H, d]."""
    seen = scaled_dot_product_attention(
        query.transpose(0, 1)[None], keys, values, attn_mask=mask, scale=scaling, enable_gqa=True
    )
    return seen[0].transpose(0, 1)


AttentionFunction = Callable[..., tuple[Tensor, None]]


def register(function: AttentionFunction = paged_attention) -> str:
    """Make a function known to transformers; return the name to set on a model."""
    AttentionInterface.register(NAME, function)
    return NAME
