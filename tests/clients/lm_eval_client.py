"""EleutherAI's lm-evaluation-harness against a running server, unchanged, and two small tasks.

Runs in an environment of its own: lm_eval_client.py BASE_URL TOKENIZER, from the repository's root;
exit code 0 means held. Without a network: the tasks lie beside it.
"""

import math
import sys
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

TASKS = Path(__file__).parent / "lm_eval"
MODEL = "glm-nano"


def evaluated(kind: str, address: str, *tasks: str, **arguments: Any) -> dict[str, Any]:
    """All that the harness found, by task; its client applies the model's chat template."""
    found = simple_evaluate(
        model=kind,
        model_args={"model": MODEL, "base_url": address, "num_concurrent": 2, **arguments},
        tasks=list(tasks),
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        apply_chat_template=True,
        bootstrap_iters=0,
    )
    return {name: found["results"][name] | {"samples": found["samples"][name]} for name in tasks}


def completions(url: str, tokenizer: str) -> None:
    """Likelihoods by `echo` and `logprobs`, over token ids; and texts."""
    found = evaluated(
        "local-completions",
        f"{url}/v1/completions",
        *("capitals_choice", "capitals_said"),
        tokenizer_backend="huggingface",
        tokenizer=tokenizer,
    )
    assert found["capitals_said"]["exact_match,city"] == 1
    for sample in found["capitals_choice"]["samples"]:
        for (logprob, is_greedy), *_ in sample["resps"]:
            assert math.isfinite(float(logprob))
            assert float(logprob) < 0
            assert str(is_greedy) in {"True", "False"}


def chat(url: str) -> None:
    address = f"{url}/v1/chat/completions"
    found = evaluated("local-chat-completions", address, "capitals_said")
    assert found["capitals_said"]["exact_match,city"] == 1


if __name__ == "__main__":
    completions(*sys.argv[1:])
    chat(sys.argv[1])
