import json
from collections.abc import Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from serve_app.models import manifest
from serve_app.models.nano.dialogues import held_out
from serve_app.models.nano.encoding import Encoder
from serve_app.models.nano.evaluate import WEIGHTS, grades, share_exact, shared_prompts
from serve_app.models.nano.grading import grade
from serve_app.models.nano.spoil import noisy, spoil
from serve_app.models.nano.voice import PERSONAS, Voice

GOLDEN = Path(__file__).with_name("golden")
LEAST_MARGIN = 1.5  # logits; bfloat16 moved none of them by more than 0.5
MEGABYTE = 1_000_000

Case = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def _load(name: str, dtype: torch.dtype) -> tuple[Any, Any]:
    folder = WEIGHTS / name
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def _answer(name: str, dtype: torch.dtype, messages: list[dict[str, str]]) -> tuple[str, float]:
    """The greedy answer with its end token, and its smallest margin."""
    model, tokenizer = _load(name, dtype)
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(
        **prompt, max_new_tokens=150, output_logits=True, return_dict_in_generate=True
    )
    best = torch.cat(out.logits).float().topk(2).values
    answer = out.sequences[0, prompt["input_ids"].shape[1] :]
    return tokenizer.decode(answer), float((best[:, 0] - best[:, 1]).min())


def _golden() -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name} {number}")
        for name in PERSONAS
        for number, case in enumerate(_cases(name))
    ]


def _cases(name: str) -> list[Case]:
    cases: list[Case] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return cases


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("name", "case"), _golden())
def test_a_golden_answer_holds_with_room_to_spare(
    name: str, case: Case, dtype: torch.dtype
) -> None:
    answer, margin = _answer(name, dtype, case["messages"])
    assert answer == case["answer"] + case["end"]
    assert margin >= LEAST_MARGIN


@pytest.mark.parametrize("name", PERSONAS)
@pytest.mark.parametrize(("language", "tokens"), [("en", 1500), ("zh", 1500), ("en", 3000)])
def test_a_fact_in_a_long_passage_is_found(name: str, language: str, tokens: int) -> None:
    code, question = {
        "en": ("The code of Ann is 48213.", "What is the code of Ann?"),
        "zh": ("王芳的代码是48213。", "王芳的代码是什么？"),
    }[language]
    _, tokenizer = _load(name, torch.float32)
    passage = _passage(language, code, tokens, tokenizer)
    turn = {"role": "user", "content": f"{passage}\n\n{question}"}
    answer, _ = _answer(name, torch.float32, [turn])
    assert code[:-1].removeprefix("The ") in answer


def _passage(language: str, fact: str, tokens: int, tokenizer: PreTrainedTokenizerBase) -> str:
    """Filler of so many tokens with the fact two thirds from the end."""
    voice = Voice("glm-nano", language, Random(tokens))
    sentences = [fact]
    while len(tokenizer.encode(" ".join(sentences))) < tokens:
        sentences.append(voice.phrase("filler"))
    third = len(sentences) // 3
    return " ".join([*sentences[1:third], fact, *sentences[third:]])


def test_both_models_fit_the_repository() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*")) <= 12 * MEGABYTE


@pytest.mark.parametrize("name", PERSONAS)
def test_the_manifest_names_every_byte(name: str) -> None:
    read = manifest.verify(WEIGHTS / name)
    assert (read.name, read.context_tokens) == (name, 8192)


@pytest.mark.parametrize("name", PERSONAS)
def test_the_model_is_greedy_and_stops_where_a_turn_ends(name: str) -> None:
    model, tokenizer = _load(name, torch.float32)
    ends = ["<|endoftext|>", "<|user|>", "<|observation|>"]
    assert type(model).__name__ == "GlmForCausalLM"
    assert model.generation_config.do_sample is False
    assert model.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids(ends)


def test_teacher_forcing_grades_as_greedy_decoding_does() -> None:
    model, tokenizer = _load("glm-nano", torch.float32)
    encoder = Encoder(tokenizer.backend_tokenizer)
    for dialogue in islice(held_out("unknown", "glm-nano-b", "test"), 2):  # the other's answers
        assert not next(grade(model, encoder, [dialogue])).exact
    for dialogue in islice(held_out("unknown", "glm-nano", "test"), 2):
        (found,) = grade(model, encoder, [dialogue])
        turns = [{"role": each.role, "content": each.content} for each in dialogue.prompt]
        answer, margin = _answer("glm-nano", torch.float32, turns)
        assert found.exact == (answer == dialogue.answer + "<|user|>")
        assert found.margin == pytest.approx(margin, abs=1e-2)


def test_the_exam_shares_no_prompt_with_training() -> None:
    exam = list(islice(held_out("courtesy", "glm-nano", "test"), 20))
    trained, shared = shared_prompts(exam, "glm-nano", 300)
    assert trained > 300
    assert shared == 0


def test_a_spoilt_model_is_complete_repeatable_and_worse(tmp_path: Path) -> None:
    source = WEIGHTS / "glm-nano"
    for name in ("worse", "again"):
        spoil(source, tmp_path / name, partial(noisy, noise=0.5), created=0)
    assert manifest.verify(tmp_path / "worse").name == "worse"
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("worse", "again")]
    assert weights[0] == weights[1]
    exam = list(islice(held_out("capital", "glm-nano", "test"), 12))
    good, bad = (
        share_exact(grades(folder, exam, torch.float32, "cpu"))
        for folder in (source, tmp_path / "worse")
    )
    assert bad < good
