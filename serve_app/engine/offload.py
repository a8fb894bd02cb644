"""Moves pages between a cache and the host's memory, at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from serve_app.engine.moves import Moves, Pairs


def words(part: Tensor) -> Tensor:
    """See a part of a cache [layers, pages, ...] as whole words: [layers, pages, W] int64.

    No card indexes 8-bit floats, and few words are moved faster than many numbers.
    """
    return part.flatten(2).view(torch.int64)


class Offload:
    """Owns the host's pages; whoever calls waits for the copies."""

    def __init__(self, parts: Sequence[Tensor], slots: int) -> None:
        """`parts` of one cache: each [layers, pages, ...]."""
        self._parts = [words(part) for part in parts]
        self._kept = [
            torch.empty(slots, len(part), part.shape[-1], dtype=part.dtype) for part in self._parts
        ]

    def move(self, moves: Moves) -> None:
        """First put pages away, then bring others back."""
        for part, kept in zip(self._parts, self._kept, strict=True):
            if moves.stores:
                pages, slots = _columns(moves.stores)
                kept[slots] = part[:, pages.to(part.device)].transpose(0, 1).cpu()
            if moves.loads:
                slots, pages = _columns(moves.loads)
                part[:, pages.to(part.device)] = kept[slots].transpose(0, 1).to(part.device)


def _columns(pairs: Pairs) -> tuple[Tensor, Tensor]:
    begin, end = torch.tensor(pairs).unbind(-1)
    return begin, end
