"""Weights in 8 and 4 bits, taken over from bitsandbytes' modules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

BLOCK = 64  # weights of a row that are laid out together, and in 4 bits share a scale


@dataclass(frozen=True, slots=True)
class Packed:
    """Two 8-bit numbers or four 4-bit codes of a block in each 16 bits, the first in the lowest.

    They lie a half or a quarter of a block apart, so that the first numbers of neighbouring groups
    are neighbours in the row, and so are the second.
    """

    kind: Literal["int8", "nf4"]
    groups: Tensor  # [N, K / each] int16
    scales: Tensor  # float32: what 1 stands for; [N], in 4 bits [N, K / BLOCK]

    @property
    def each(self) -> int:
        """Numbers in a group."""
        return 2 if self.kind == "int8" else 4


Weight = Tensor | Packed  # [N, K]


def is_known(linear: nn.Linear) -> bool:
    """Whether `join` can take this module's weight."""
    if type(linear) is nn.Linear:
        return True
    weight: Any = linear.weight
    state = getattr(weight, "quant_state", None)
    if linear.in_features % BLOCK:
        return False
    if state is None:
        return getattr(weight, "SCB", None) is not None
    return state.quant_type == "nf4" and not state.nested and state.blocksize == BLOCK


def join(linears: Sequence[Any]) -> Weight:
    """Lay weights of one kind below each other; nothing is held twice.

    A plain module keeps a view of the whole; a packed one gives its weight away.
    """
    if type(linears[0]) is nn.Linear:
        return _join_plain([linear.weight for linear in linears])
    join_packed = _join_nf4 if getattr(linears[0].weight, "quant_state", None) else _join_int8
    packed = join_packed([linear.weight for linear in linears])
    for linear in linears:
        linear.weight = None
    return packed


def _join_plain(parts: Sequence[nn.Parameter]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    whole = torch.cat(list(parts))
    for part, view in zip(parts, torch.split(whole, [len(part) for part in parts]), strict=True):
        part.data = view
    return whole


def _join_int8(parts: Sequence[Any]) -> Packed:
    scales = torch.cat([part.SCB for part in parts]) / 127
    return Packed("int8", torch.cat([_paired(part.data) for part in parts]), scales)


def _join_nf4(parts: Sequence[Any]) -> Packed:
    groups = [_fourfold(part.data, part.quant_state.shape[1]) for part in parts]
    scales = [
        part.quant_state.absmax.view(len(its), -1) for part, its in zip(parts, groups, strict=True)
    ]
    return Packed("nf4", torch.cat(groups), torch.cat(scales))


def _paired(numbers: Tensor) -> Tensor:
    halves = numbers.view(len(numbers), -1, 2, BLOCK // 2)
    return halves.transpose(2, 3).flatten(1).view(torch.int16)


def _fourfold(codes: Tensor, width: int) -> Tensor:
    """Codes come two neighbours in a byte, the first in its upper half."""
    in_order = torch.stack((codes >> 4, codes & 15), -1).view(-1, 2, 2, BLOCK // 4)
    bytes_ = in_order[:, :, 1] << 4 | in_order[:, :, 0]  # [blocks, 2, BLOCK / 4]
    return bytes_.transpose(1, 2).reshape(-1, width // 2).view(torch.int16)
