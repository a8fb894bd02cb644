"""The runner on a card against transformers in float32 on the CPU: logits, and greedy answers.

usage: python -m tests.gpu.correctness
"""

import copy
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Glm4Config,
    Glm4ForCausalLM,
    GlmConfig,
    GlmForCausalLM,
)

from serve_app.engine.batch import Row
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.sequence import Sequence
from tests.gpu import shape
from tests.gpu.drive import Drive
from tests.gpu.figures import Figures
from tests.gpu.logits import error, logits_after

FAMILIES = {"glm": (GlmConfig, GlmForCausalLM), "glm4": (Glm4Config, Glm4ForCausalLM)}
NANO = Path("serve_app/models/weights/glm-nano")
_QUESTIONS = (
    "What is the capital of France?",
    "Count from {} to {}.",
    "Repeat: the {} green apples",
    "Who are you?",
    "Spell the word river.",
    "What is {} + {}?",
)
_TAKEN = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "attention_bias",
    "max_position_embeddings",
    "rms_norm_eps",
)
ENDS = (300, 696, 697, 698, 700)  # of chunks, and of single tokens
SLACK = 1.25  # times the error that transformers' own bfloat16 makes


def build(family: str) -> Any:
    """Two layers of GLM-4-9B's width, few words."""
    torch.manual_seed(0)
    config, model = FAMILIES[family]
    wide = shape.config(layers=2)
    known = {name: getattr(wide, name) for name in _TAKEN}
    known |= {"vocab_size": 4096, "initializer_range": 0.01}
    return model._from_config(config(**known, pad_token_id=0, eos_token_id=[1])).eval()


@torch.inference_mode()
def logits_agree(family: str) -> dict[str, Any]:
    """Logits after a chunk, after a chunk with a past and after single tokens beside others."""
    reference = build(family)
    card = copy.deepcopy(reference).to("cuda", torch.bfloat16)
    plain = copy.deepcopy(card)
    settings = shape.settings(kv_tokens=64 * 256, max_running=32)
    runner = GpuRunner(card, settings)
    words = [token % 4000 + 10 for token in shape.prompt(1, 700)]
    wanted = reference(torch.tensor([words])).logits[0]
    usual = plain(torch.tensor([words], device="cuda")).logits[0]
    beside = [Row(Sequence([5], 8), 0, 1, True, [20 + number]) for number in range(12)]
    found = logits_after(runner, words, ENDS, beside)
    places = [end - 1 for end in ENDS]
    worst = max(map(error, found, wanted[places]))
    bound = SLACK * max(map(error, usual[places], wanted[places]))
    return {"family": family, "error": worst, "bound": bound, "fine": worst <= bound}


@torch.inference_mode()
def nano_agrees(count: int = 60, answer: int = 48, **fields: Any) -> dict[str, Any]:
    """Greedy answers of glm-nano: on the card in bfloat16, on the CPU in float32."""
    reference = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.float32).eval()
    card = AutoModelForCausalLM.from_pretrained(NANO, dtype=torch.bfloat16).eval().to("cuda")
    known = {"kv_tokens": 65536, "page_tokens": 16, "max_running": 64, "step_tokens": 512}
    settings = shape.settings(**known, **fields)
    ends = set(reference.generation_config.eos_token_id)
    tokenizer = AutoTokenizer.from_pretrained(NANO)
    sequences = [Sequence(tokenizer(text)["input_ids"], answer) for text in map(_ask, range(count))]
    Drive(GpuRunner(card, settings), settings).finish(sequences)
    agreed = total = 0
    for sequence in sequences:
        begin = sequence.prompt_tokens
        said = sequence.tokens[begin:]
        end = next((place for place, token in enumerate(said, 1) if token in ends), answer)
        logits = reference(torch.tensor([sequence.tokens])).logits[0, begin - 1 : begin - 1 + end]
        agreed += sum(a == b for a, b in zip(said, logits.argmax(-1).tolist(), strict=False))
        total += end
    return {"agreement": agreed / total, "tokens": total}


def _ask(number: int) -> str:
    question = _QUESTIONS[number % len(_QUESTIONS)].format(number, number + 7)
    return f"[gMASK]<sop><|user|>\n{question}<|assistant|>\n"


def main() -> None:
    found = [logits_agree(family) for family in FAMILIES]
    with Figures() as figures:
        for each in found:
            figures.tell(**each)
        figures.tell(**nano_agrees())
    sys.exit(0 if all(each["fine"] for each in found) else 1)


if __name__ == "__main__":
    main()
