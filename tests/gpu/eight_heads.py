"""glm-nano with two heads more that add nothing: the same words, and four cards can share it."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from serve_app.models import manifest
from tests.gpu.correctness import NANO

NAME = "glm-nano-eight"
_GROUPS, _WIDTH = 2, 32  # of key heads; numbers a head


def shelve(shelf: Path) -> None:
    """Lay the model into a folder of its own below `shelf`."""
    folder = shelf / NAME
    shutil.copytree(NANO, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 8}))
    file = folder / "model.safetensors"
    widened = {name: _widened(name, weight) for name, weight in load_file(file).items()}
    save_file(widened, file, {"format": "pt"})
    manifest.write(folder, NAME, config["max_position_embeddings"], created=1_763_700_000)


def _widened(name: str, weight: Tensor) -> Tensor:
    """Behind the three heads of each group one of noughts."""
    if ".q_proj." in name:
        return _with_one_more(weight)
    if ".o_proj." in name:
        return _with_one_more(weight.T).T.contiguous()
    return weight


def _with_one_more(rows: Tensor) -> Tensor:
    groups = rows.unflatten(0, (_GROUPS, -1))
    none = torch.zeros_like(groups[:, :_WIDTH])
    return torch.cat([groups, none], 1).flatten(0, 1)
