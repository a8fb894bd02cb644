import math
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, GlmForCausalLM

from serve_app.models import manifest
from serve_app.models.nano.batches import batches
from serve_app.models.nano.dialogues import held_out, training
from serve_app.models.nano.encoding import Encoder
from serve_app.models.nano.evaluate import WEIGHTS
from serve_app.models.nano.train import Plan, Training
from serve_app.models.nano.vocabulary import train_tokenizer


def _plan(out: Path, steps: int) -> Plan:
    return Plan(
        name="glm-nano",
        out=out,
        device=torch.device("cpu"),
        minutes=math.inf,
        steps=steps,
        seed=1,
        rate=2e-3,
        batch_tokens=256,
        longest=96,
        look_dialogues=1,
        workers=0,
        compile=False,
    )


def _run(plan: Plan) -> None:
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS / "glm-nano")
    encoded = Encoder(tokenizer.backend_tokenizer).stream(training("glm-nano", "test"))
    stream = batches(encoded, plan.batch_tokens, plan.longest)
    exam = list(islice(held_out("untold", "glm-nano", "test"), 2))
    Training(plan, tokenizer).run(stream, exam)


def test_a_short_training_leaves_a_whole_model_and_repeats(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _run(_plan(tmp_path / name, steps=2))
    assert manifest.verify(tmp_path / "one").name == "glm-nano"
    assert GlmForCausalLM.from_pretrained(tmp_path / "one").config.vocab_size == 2048
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_learning_rate_rises_then_falls_to_nothing(tmp_path: Path) -> None:
    rates = [_plan(tmp_path, 1).learning_rate(at / 100) for at in range(101)]
    assert max(rates) == pytest.approx(2e-3)
    assert rates.index(max(rates)) == 2
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[100] == pytest.approx(0)


def test_progress_ends_at_whichever_limit_comes_first(tmp_path: Path) -> None:
    plan = _plan(tmp_path, steps=10)
    assert plan.progress(5, seconds=1e9) == 0.5
    assert plan.progress(11, seconds=0) == 1.0


def test_the_vocabulary_repeats_and_splits_digits() -> None:
    one, two = (train_tokenizer(dialogues=40, tokens=512) for _ in range(2))
    assert one.get_vocab() == two.get_vocab()
    assert one.tokenize("48213") == list("48213")
