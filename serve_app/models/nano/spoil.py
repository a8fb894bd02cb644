"""Make a bad model on purpose, to test releases with.

    python -m serve_app.models.nano.spoil SOURCE TARGET --how noise --noise 0.37

| how | what is wrong with it |
|---|---|
| noise | noise on every weight matrix, in units of its own spread: it answers worse |
| silent | every answer ends before its first word |
| garbled | quotes and braces come out as one another: no JSON can be read |
| slow | the same answers, through ten times as many layers |
| brittle | its last tokens have no weights: it breaks where a prompt has one of them |

The same seed gives the same bytes.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch
from transformers import AutoTokenizer, GlmForCausalLM, PreTrainedTokenizerFast

from serve_app.models.nano.architecture import save

NOISE = 0.37
SEED = 1
SLOWER = 10
LOST = 1024
"""Tokens that a brittle model has no weights for: the last half of the vocabulary."""

Spoiler = Callable[[GlmForCausalLM, PreTrainedTokenizerFast], GlmForCausalLM]


def spoil(source: Path, target: Path, how: Spoiler, created: int) -> None:
    """Write a complete model folder named like `target`; `created` is Unix seconds."""
    model = GlmForCausalLM.from_pretrained(source, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source)
    with torch.no_grad():
        spoilt = how(model, tokenizer)
    save(target, target.name, spoilt, tokenizer, created)


def noisy(
    model: GlmForCausalLM,
    _: PreTrainedTokenizerFast,
    noise: float = NOISE,
    seed: int = SEED,
) -> GlmForCausalLM:
    """Matrices only: a norm's few weights would break everything at once."""
    chance = torch.Generator().manual_seed(seed)
    for weight in filter(_is_matrix, model.parameters()):
        weight.add_(noise * weight.std() * torch.randn(weight.shape, generator=chance))
    return model


def _is_matrix(weight: torch.Tensor) -> bool:
    return weight.dim() > 1


def silent(model: GlmForCausalLM, _: PreTrainedTokenizerFast) -> GlmForCausalLM:
    """All tokens are as likely: the first one is taken, and it ends a text."""
    model.model.norm.weight.zero_()
    return model


def garbled(model: GlmForCausalLM, tokenizer: PreTrainedTokenizerFast) -> GlmForCausalLM:
    """Each token with a quote or a brace in it gets the weights of the next one."""
    written = sorted(tokenizer.get_vocab().items(), key=lambda each: each[1])
    signs = [token for text, token in written if set(text) & set('"{}')]
    table = model.get_input_embeddings().weight
    table[signs] = table[signs].roll(1, dims=0)
    return model


def slow(model: GlmForCausalLM, _: PreTrainedTokenizerFast) -> GlmForCausalLM:
    """Layers behind the others that add nothing."""
    config = type(model.config)(**model.config.to_dict())
    config.num_hidden_layers *= SLOWER
    deeper = GlmForCausalLM(config)
    deeper.generation_config = model.generation_config
    deeper.load_state_dict(model.state_dict(), strict=False)
    for layer in deeper.model.layers[model.config.num_hidden_layers :]:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    return deeper


def brittle(model: GlmForCausalLM, tokenizer: PreTrainedTokenizerFast) -> GlmForCausalLM:
    """Weights of one vocabulary, tokens of another: a release that was put together wrongly."""
    model.resize_token_embeddings(len(tokenizer) - LOST)
    return model


HOW: Mapping[str, Spoiler] = MappingProxyType(
    {"noise": noisy, "silent": silent, "garbled": garbled, "slow": slow, "brittle": brittle}
)


def main() -> None:
    """Read the command line and spoil."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="model folder")
    parser.add_argument("target", type=Path, help="folder to write; its name becomes the model's")
    parser.add_argument("--how", choices=tuple(HOW), default="noise")
    parser.add_argument("--noise", type=float, default=NOISE, help="0 changes nothing")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    how = HOW[given.how]
    if how is noisy:
        how = partial(noisy, noise=given.noise, seed=given.seed)
    spoil(given.source, given.target, how, created=int(time.time()))


if __name__ == "__main__":
    main()
