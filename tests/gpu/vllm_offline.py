"""Tokens a second of vLLM, offline: the other side of `tests.gpu.whole_engine`, for the same card.

512 tokens in, 256 out, greedy, no text; all streams come at once. GLM-4-9B's shape with weights of
vLLM's own making, from a configuration and a vocabulary of words written to a temporary folder.

usage: python -m tests.gpu.vllm_offline [streams,...]     one card, where vLLM 0.22.1 is installed
"""

import os
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from tests.gpu import shape
from tests.gpu.arguments import numbers
from tests.gpu.figures import Figures

# As in engine_speed, which cannot be imported where Triton is not of the version that we need.
PROMPT, ANSWER = 512, 256
STREAMS = (1, 8, 32, 64, 128, 256)
WARM = 8  # streams beforehand, for what is compiled at the first steps


def write_model(folder: Path) -> None:
    """What vLLM reads of a model whose weights it makes up."""
    config = shape.config()
    config.architectures, config.dtype = ["GlmForCausalLM"], "bfloat16"
    config.save_pretrained(folder)
    unknown, end = "t0", f"t{config.pad_token_id}"
    words = Tokenizer(WordLevel({f"t{number}": number for number in range(shape.WORDS)}, unknown))
    words.pre_tokenizer = WhitespaceSplit()
    known: Any = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token=unknown, eos_token=end, pad_token=end
    )
    known.save_pretrained(folder)


def start(folder: str) -> Any:
    # Nothing is drawn here, and FlashInfer's kernels for it would be compiled first.
    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    return import_module("vllm").LLM(
        model=folder,
        load_format="dummy",
        dtype="bfloat16",
        max_model_len=4096,
        gpu_memory_utilization=0.85,
        enable_prefix_caching=True,
    )


def level(model: Any, streams: int, seed: int) -> dict[str, float]:
    prompts = [{"prompt_token_ids": shape.prompt(seed + each, PROMPT)} for each in range(streams)]
    sampling = import_module("vllm").SamplingParams(
        max_tokens=ANSWER, ignore_eos=True, temperature=0.0, detokenize=False
    )
    begun = time.perf_counter()
    answers = model.generate(prompts, sampling, use_tqdm=False)
    seconds = time.perf_counter() - begun
    said = sum(len(each.outputs[0].token_ids) for each in answers)
    return {"streams": streams, "tokens": said, "tokens_s": round(said / seconds, 1)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Figures() as figures:
        write_model(Path(folder))
        model = start(folder)
        level(model, WARM, seed=0)
        for streams in numbers(0, STREAMS):
            figures.tell(**level(model, streams, seed=7000 * streams))


if __name__ == "__main__":
    main()
