"""What every kernel of a step needs to know beside the numbers it works on."""

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

MOST = 448.0  # the largest number of float8_e4m3fn
LEAST = 1e-6  # below it a token's largest number is as good as 0


@dataclass(frozen=True, slots=True)
class Heads:
    """The shape of attention."""

    queries: int
    keys: int
    width: int  # numbers a head

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.queries // self.keys

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.width)

    @property
    def log2_scale(self) -> float:
        """The same where weights are powers of 2, not of e."""
        return self.scale * math.log2(math.e)

    def split(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn [T, (H + 2 * K) * d] into queries [T, H, d], keys and values [T, K, d]."""
        rows = qkv.view(len(qkv), -1, self.width)
        end = self.queries + self.keys
        return rows[:, : self.queries], rows[:, self.queries : end], rows[:, end:]


@dataclass(frozen=True, slots=True)
class Turns:
    """By which angle each pair of numbers turns, for every place there is; float32."""

    cos: Tensor  # [places, pairs]
    sin: Tensor  # [places, pairs]


@dataclass(frozen=True, slots=True)
class Kept:
    """Keys and values of one layer, in pages.

    In 8 bits each token's keys and values have a scale of their own, one a head: numbers of any
    size keep three bits of precision, and a page can be filled token by token.
    """

    pages: Tensor  # [pages, 2, K, P, d]: keys at 0, values at 1
    scales: Tensor | None = None  # [pages, 2, K, P] float32: what stored numbers are times of

    @property
    def page_tokens(self) -> int:
        return self.pages.shape[3]

    def read(self, pages: Tensor, dtype: torch.dtype) -> Tensor:
        """Return some pages [M] as they were before they were scaled: [M, 2, K, P, d]."""
        if self.scales is None:
            return self.pages[pages]
        stored = self.pages.view(torch.uint8)[pages].view(self.pages.dtype)
        return stored.to(dtype).mul_(self.scales[pages][..., None])

    def gather(self, numbers: Tensor, count: int, dtype: torch.dtype) -> Tensor:
        """Return the first `count` tokens of a sequence's pages [M] in order: [2, K, count, d]."""
        pages = numbers[: -(-count // self.page_tokens)].long()
        own = self.read(pages, dtype).to(dtype)  # [M, 2, K, P, d]
        return own.permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :count]

    def write(self, where: tuple[Tensor | int | slice, ...], numbers: Tensor) -> None:
        """Put numbers [..., d] somewhere, scaled as the kernels do; the plain twins' way."""
        if self.scales is None:
            self.pages[where] = numbers.to(self.pages.dtype)
            return
        scales = numbers.float().abs().amax(-1).clamp(min=LEAST) / MOST
        stored = (numbers.float() / scales[..., None]).to(self.pages.dtype)
        self.pages.view(torch.uint8)[where] = stored.view(torch.uint8)
        self.scales[where] = scales


@dataclass(frozen=True, slots=True)
class Lines:
    """The T tokens of a step: where each stands, and where its sequence's pages are."""

    seats: Tensor  # [T] int32: the row of `table` that belongs to the token's sequence
    places: Tensor  # [T] int32: tokens of its sequence before it
    table: Tensor  # [seats, M] int32: the pages of each seat, in order
    turns: Turns

    def __getitem__(self, tokens: slice) -> Self:
        return replace(self, seats=self.seats[tokens], places=self.places[tokens])
