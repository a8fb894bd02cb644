"""The shape of the model, and how it is written to a folder."""

from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    GlmConfig,
    GlmForCausalLM,
    PreTrainedTokenizerFast,
)

from serve_app.models.manifest import write
from serve_app.models.nano.template import END_OF_TEXT, END_TOKENS
from serve_app.models.nano.vocabulary import CONTEXT_TOKENS


def new_model(tokenizer: PreTrainedTokenizerFast) -> GlmForCausalLM:
    """2.75 M parameters, 5.5 MB in bfloat16; untrained."""
    end_of_text = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in END_TOKENS]
    config = GlmConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        pad_token_id=end_of_text,
        eos_token_id=ends,
    )
    model = GlmForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=ends, pad_token_id=end_of_text
    )
    return model


def save(
    folder: Path,
    name: str,
    model: GlmForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    created: int,
) -> None:
    """Write a complete model folder; the weights as bfloat16. `created` is Unix seconds."""
    twin = GlmForCausalLM(model.config)
    twin.load_state_dict(model.state_dict())
    twin.generation_config = model.generation_config
    twin.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # weights are written readable by their owner only
    write(folder, name, CONTEXT_TOKENS, created)
