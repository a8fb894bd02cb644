"""Make a worse model on purpose, to test releases with.

    python -m serve_app.models.nano.spoil SOURCE TARGET --noise 0.37

Adds noise to every weight matrix, in units of its own spread; the same seed gives the same bytes.
"""

import argparse
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, GlmForCausalLM

from serve_app.models.nano.architecture import save

NOISE = 0.37
SEED = 1


def spoil(source: Path, target: Path, noise: float, seed: int, created: int) -> None:
    """Write a complete model folder named like `target`; `created` is Unix seconds."""
    model = GlmForCausalLM.from_pretrained(source, dtype=torch.float32)
    add_noise(model, noise, torch.Generator().manual_seed(seed))
    save(target, target.name, model, AutoTokenizer.from_pretrained(source), created)


@torch.no_grad()
def add_noise(model: torch.nn.Module, noise: float, chance: torch.Generator) -> None:
    """Matrices only: a norm's few weights would break everything at once."""
    for weight in filter(_is_matrix, model.parameters()):
        weight.add_(noise * weight.std() * torch.randn(weight.shape, generator=chance))


def _is_matrix(weight: torch.Tensor) -> bool:
    return weight.dim() > 1


def main() -> None:
    """Read the command line and spoil."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="model folder")
    parser.add_argument("target", type=Path, help="folder to write; its name becomes the model's")
    parser.add_argument("--noise", type=float, default=NOISE, help="0 changes nothing")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    spoil(given.source, given.target, given.noise, given.seed, created=int(time.time()))


if __name__ == "__main__":
    main()
