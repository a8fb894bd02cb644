"""Keys and values of all layers on one card."""

from typing import Literal

import torch
from torch import Tensor

from serve_app.engine.gpu.step import Heads, Kept
from serve_app.engine.limits import Limits

Dtype = Literal["auto", "fp8"]


class Cache:
    """Owns the pages, and one more: what rows write that only fill a graph goes to the trash."""

    def __init__(self, layers: int, limits: Limits, heads: Heads, like: Tensor) -> None:
        """`like` has device and dtype; in float8_e4m3fn every token gets scales."""
        shape = (layers, limits.pages + 1, 2, heads.keys, limits.page_tokens)
        self.trash = limits.pages
        self._pages = like.new_zeros(*shape, heads.width)
        self._scales = None
        if like.dtype == torch.float8_e4m3fn:
            self._scales = like.new_zeros(shape, dtype=torch.float32)
        self.layers = tuple(
            Kept(self._pages[layer], None if self._scales is None else self._scales[layer])
            for layer in range(layers)
        )

    @property
    def parts(self) -> list[Tensor]:
        """All of it, each part [layers, pages, ...]."""
        return [self._pages] if self._scales is None else [self._pages, self._scales]

    @property
    def dtype(self) -> torch.dtype:
        return self._pages.dtype

    @property
    def token_bytes(self) -> int:
        """Bytes that one token takes."""
        tokens = self._pages[0, :, 0, 0].numel() // self._pages.shape[-1]
        return sum(part.nbytes for part in self.parts) // tokens

    def copy(self, begin: Tensor, end: Tensor) -> None:
        """Copy whole pages [N] onto others."""
        pages = self._pages
        if self._scales is not None:
            pages = pages.view(torch.uint8)  # no card indexes 8-bit floats
            self._scales[:, end] = self._scales[:, begin]
        pages[:, end] = pages[:, begin]


def dtype_of(wished: Dtype, model: torch.dtype) -> torch.dtype:
    """What keys and values are stored as."""
    return torch.float8_e4m3fn if wished == "fp8" else model
