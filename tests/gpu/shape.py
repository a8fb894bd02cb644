"""GLM-4-9B's shape with random bfloat16 weights: as fast as the real one, and no download."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GlmConfig, GlmForCausalLM

from serve_app.engine.sequence import Sequence
from serve_app.settings import EngineSettings

WORDS = 151552
MOST_STREAMS = 256
CONTEXT = 832  # tokens a stream may take in the benchmarks


def config(layers: int = 40) -> GlmConfig:
    return GlmConfig(
        vocab_size=WORDS,
        hidden_size=4096,
        intermediate_size=13696,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=2,
        head_dim=128,
        attention_bias=True,
        max_position_embeddings=131072,
        rms_norm_eps=1.5625e-07,
        pad_token_id=151329,
        eos_token_id=[151329, 151336, 151338],
        tie_word_embeddings=False,
    )


def tiny() -> GlmConfig:
    """The same on a CPU, to see that something runs."""
    small = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "head_dim": 16}
    return GlmConfig.from_dict({**config(layers=2).to_dict(), **small})


@contextmanager
def made_in(dtype: torch.dtype, device: str) -> Iterator[None]:
    """Weights are made there, and need not be moved or rounded."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def build(chosen: GlmConfig) -> Any:
    torch.manual_seed(0)
    with made_in(torch.bfloat16, "cuda"):
        return GlmForCausalLM(chosen).eval()


def model(layers: int = 40) -> Any:
    return build(config(layers))


def settings(**fields: Any) -> EngineSettings:
    known = {
        "page_tokens": 64,
        "kv_tokens": MOST_STREAMS * CONTEXT,
        "step_tokens": 8448,
        "max_running": MOST_STREAMS,
        "max_waiting": 4 * MOST_STREAMS,
    }
    return EngineSettings(**{**known, **fields})


def prompt(seed: int, length: int) -> list[int]:
    words = random.Random(seed)
    return [words.randrange(10, 150000) for _ in range(length)]


def sequences(count: int, prompt_tokens: int, answer_tokens: int, seed: int = 0) -> list[Sequence]:
    return [
        Sequence(prompt(1000 * seed + each, prompt_tokens), answer_tokens) for each in range(count)
    ]
