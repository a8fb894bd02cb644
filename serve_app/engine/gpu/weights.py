"""A GLM's weights as the kernels want them; the Hugging Face modules keep views of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from serve_app.engine.gpu.packed import Weight, is_known, join
from serve_app.engine.gpu.step import Heads, Turns

_FAMILIES = ("GlmForCausalLM", "Glm4ForCausalLM")
_STEADY_ROPES = ("default", "linear", "yarn", "llama3")  # the same angles at any length
_DTYPES = (torch.bfloat16, torch.float16, torch.float32)

W_co = TypeVar("W_co", bound=Weight, covariant=True)


@dataclass(frozen=True, slots=True)
class Layer(Generic[W_co]):
    """One layer; K: hidden numbers, I: numbers inside the MLP."""

    qkv: W_co  # [(H + 2 * keys) * d, K]
    qkv_bias: Tensor | None
    out: W_co  # [K, H * d]
    gate_up: W_co  # [2 * I, K]
    down: W_co  # [K, I]
    attention_norm: Tensor  # [K]
    mlp_norm: Tensor  # [K]
    after_attention: Tensor | None  # [K]: GLM-4-0414 also normalises what a part adds
    after_mlp: Tensor | None  # [K]


@dataclass(frozen=True, slots=True)
class Weights:
    """A whole model."""

    embedding: Tensor  # [V, K]
    layers: tuple[Layer[Weight], ...]
    norm: Tensor  # [K]
    head: Tensor  # [V, K]
    epsilon: float
    heads: Heads
    speeds: Tensor  # [pairs]: radians by which a pair turns from place to place
    length: float  # of the turned pairs, against before

    def turns(self, places: int) -> Turns:
        """Angles of all places at once, exact in float32."""
        numbers = torch.arange(places, device=self.speeds.device, dtype=torch.float32)
        angles = numbers[:, None] * self.speeds.float()
        return Turns(angles.cos() * self.length, angles.sin() * self.length)


def can_fuse(layers: tuple[Layer[Weight], ...]) -> TypeGuard[tuple[Layer[Tensor], ...]]:
    """Whether nothing stands between a layer's products and the stream or is unpacked there."""
    layer = layers[0]  # all are alike
    return layer.after_attention is None and isinstance(layer.qkv, Tensor)


def hindrance(model: Any) -> str:
    """Say what of a model the kernels do not know; empty: they compute what its modules would."""
    family = type(model).__name__
    if family not in _FAMILIES:
        return f"{family} is none of the families {_listed(_FAMILIES)}"
    if model.config.hidden_act != "silu":
        return f"hidden_act is {model.config.hidden_act}, not silu"
    rope = model.model.rotary_emb.rope_type
    if rope not in _STEADY_ROPES:
        return f"rope_type is {rope}, none of {_listed(_STEADY_ROPES)}"
    if model.dtype not in _DTYPES:
        return f"dtype is {model.dtype}, none of {_listed(_DTYPES)}"
    return _strange_linear(model.model.layers)


def _listed(known: Iterable[object]) -> str:
    return ", ".join(map(str, known))


def _strange_linear(layers: nn.Module) -> str:
    """Name the first product whose weight `join` cannot take."""
    for name, each in layers.named_modules():
        if isinstance(each, nn.Linear) and not is_known(each):
            shape = f"{each.out_features} x {each.in_features}"
            return (
                f"the weight of layers.{name} ({type(each).__name__}, {shape}) is packed otherwise"
            )
    return ""


@torch.no_grad()
def prepare(model: Any) -> Weights:
    """Lay queries', keys' and values' weights side by side; nothing is held twice."""
    body, config = model.model, model.config
    return Weights(
        embedding=body.embed_tokens.weight,
        layers=tuple(map(_layer, body.layers)),
        norm=body.norm.weight,
        head=model.lm_head.weight,
        epsilon=config.rms_norm_eps,
        heads=Heads(config.num_attention_heads, config.num_key_value_heads, config.head_dim),
        speeds=body.rotary_emb.inv_freq,
        length=body.rotary_emb.attention_scaling,
    )


def _layer(layer: Any) -> Layer[Weight]:
    attention = layer.self_attn
    linears = (attention.q_proj, attention.k_proj, attention.v_proj)
    biased = attention.q_proj.bias is not None
    return Layer(
        qkv=join(linears),
        qkv_bias=torch.cat([linear.bias for linear in linears]) if biased else None,
        out=join([attention.o_proj]),
        gate_up=join([layer.mlp.gate_up_proj]),
        down=join([layer.mlp.down_proj]),
        attention_norm=layer.input_layernorm.weight,
        mlp_norm=layer.post_attention_layernorm.weight,
        after_attention=_norm(layer, "post_self_attn_layernorm"),
        after_mlp=_norm(layer, "post_mlp_layernorm"),
    )


def _norm(layer: Any, name: str) -> Tensor | None:
    module = getattr(layer, name, None)
    return None if module is None else module.weight
