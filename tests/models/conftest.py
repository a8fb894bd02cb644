"""A random GLM of a few kilobytes, saved as a real one would be."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GlmConfig, GlmForCausalLM, PreTrainedTokenizerFast

from serve_app.models import manifest

torch.set_num_threads(1)

WORDS = ("<|endoftext|>", "<|user|>", "hello", "world")


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tiny model without a manifest; copied, never changed."""
    folder = tmp_path_factory.mktemp("saved")
    config = GlmConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=[0, 1],
    )
    GlmForCausalLM(config).save_pretrained(folder)
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token=WORDS[0]).save_pretrained(folder)
    return folder


@pytest.fixture
def shelf(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    """Put a copy of the tiny model under a name on a shelf; returns its folder."""

    def put(name: str = "tiny", *, context_tokens: int = 64, **files: str) -> Path:
        folder = tmp_path / "shelf" / name
        folder.mkdir(parents=True)
        for path in saved.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        for stem, text in files.items():
            (folder / f"{stem}.json").write_text(text)
        manifest.write(folder, name, context_tokens, created=1_763_700_000)
        return folder

    return put
