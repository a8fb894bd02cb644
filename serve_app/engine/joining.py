"""Modules of a GLM whose share of a layer is made whole with those of the other ranks."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from serve_app.engine.ranks import Ranks


class Joined(nn.Module):
    """A linear, and what the ranks make of its parts."""

    def __init__(self, part: nn.Linear, joined: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.part = part
        self._joined = joined

    def forward(self, x: Tensor) -> Tensor:
        part = self.part(x)  # [..., K]
        whole = self._joined(part.view(-1, part.shape[-1]))
        return whole.view(*part.shape[:-1], whole.shape[-1])


def join(model: Any, ranks: Ranks) -> None:
    """Exchange what ends an attention or an MLP, and the head."""
    for layer in model.model.layers:
        layer.self_attn.o_proj = Joined(layer.self_attn.o_proj, ranks.total)
        layer.mlp.down_proj = Joined(layer.mlp.down_proj, ranks.total)
    model.lm_head = Joined(model.lm_head, ranks.gather)
