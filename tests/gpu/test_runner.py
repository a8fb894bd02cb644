"""The runner on a CPU, its kernels interpreted: the same tokens as transformers' own model."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import Glm4Config, Glm4ForCausalLM, GlmConfig, GlmForCausalLM

from serve_app.engine.batch import Batch, Row
from serve_app.engine.choice import Choice
from serve_app.engine.gpu import far, stack
from serve_app.engine.gpu import runner as gpu_runner
from serve_app.engine.gpu.backends import BackEnd, plain_attend
from serve_app.engine.gpu.kernels import decode_shape
from serve_app.engine.gpu.kernels.chunks import Chunks
from serve_app.engine.gpu.kernels.unpacked import plain_unpack
from serve_app.engine.gpu.looks import LEAST
from serve_app.engine.gpu.packed import join
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.gpu.weights import hindrance
from serve_app.engine.moves import Moves
from serve_app.engine.sequence import Sequence
from serve_app.models.precision import Quantization
from serve_app.settings import EngineSettings
from tests.gpu.packing import linears, pack

SIZE = 4  # tokens a page
WORDS = 64
FAMILIES = {"glm": (GlmConfig, GlmForCausalLM), "glm4": (Glm4Config, Glm4ForCausalLM)}


@pytest.fixture(autouse=True)
def _few_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one program do what a card does side by side: it takes turns here."""
    monkeypatch.setattr(decode_shape, "_ENOUGH", 4)


def build(family: str, **fields: Any) -> Any:
    torch.manual_seed(0)
    config, model = FAMILIES[family]
    sizes = {"hidden_size": 32, "intermediate_size": 48, **fields}
    return model._from_config(
        config(
            vocab_size=WORDS,
            **sizes,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=64,
            attention_bias=True,
            pad_token_id=0,
            eos_token_id=[1],
            initializer_range=0.3,
        ),
        dtype=torch.float32,
        attn_implementation="sdpa",
    ).eval()


def unpacked(model: Any) -> Any:
    """The same model in plain numbers."""
    plain = copy.deepcopy(model)
    for name, packed in linears(plain):
        linear = nn.Linear(packed.in_features, packed.out_features, packed.bias is not None)
        linear.weight.data = plain_unpack(join([packed]), torch.empty(0))
        linear.bias = packed.bias
        plain.model.layers.set_submodule(name, linear)
    return plain.eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return build("glm")


def runner(model: Any, **fields: Any) -> GpuRunner:
    settings = EngineSettings(page_tokens=SIZE, kv_tokens=64 * SIZE, max_running=4, **fields)
    return GpuRunner(copy.deepcopy(model), settings)


def sequence(number: int, length: int, **choice: Any) -> Sequence:
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(2, WORDS, (length,), generator=generator).tolist()
    return Sequence(tokens, 32, Choice(**choice))


def row(sequence: Sequence, start: int, count: int, first_page: int) -> Row:
    """Pages of its own from the first on, and no more than it needs."""
    pages = list(range(first_page, first_page - (-(start + count) // SIZE)))
    return Row(sequence, start, count, start + count >= len(sequence.tokens), pages)


def wanted(model: Any, prompt: list[int], count: int) -> list[int]:
    ids = torch.tensor([prompt])
    whole = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    return whole[0, len(prompt) :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_in_chunks_and_single_tokens_together(family: str) -> None:
    model = build(family)
    served = runner(model)
    one, two = sequence(1, 9), sequence(2, 6)
    answers = [wanted(model, each.tokens, 4) for each in (one, two)]
    assert served.run(Batch((), (row(one, 0, 6, 0),))).tokens == []
    draws = served.run(Batch((), (row(one, 6, 3, 0), row(two, 0, 5, 10))))
    one.tokens += draws.tokens
    draws = served.run(Batch((row(one, 9, 1, 0), row(two, 5, 1, 10))))
    one.tokens.append(draws.tokens[0])
    two.tokens.append(draws.tokens[1])
    for place in (10, 11):
        both = Batch((row(two, place - 4, 1, 10), row(one, place, 1, 0)))
        for each, token in zip((two, one), served.run(both).tokens, strict=True):
            each.tokens.append(token)
    assert one.tokens[9:] == answers[0]
    assert two.tokens[6:] == answers[1][:3]


def test_a_single_token_that_does_not_draw_leaves_the_draw_to_the_others(model: Any) -> None:
    served = runner(model)
    one, two = sequence(1, 9), sequence(2, 6)
    served.run(Batch((), (row(one, 0, 6, 0), row(two, 0, 5, 10))))
    draws = served.run(Batch((row(one, 6, 1, 0), row(two, 5, 1, 10))))
    assert draws.tokens == wanted(model, two.tokens, 1)


@pytest.mark.parametrize(("draws", "behind"), [(True, [1, 1]), (False, [])])
def test_behind_the_last_keys_and_values_only_tokens_that_draw_are_computed(
    model: Any, monkeypatch: pytest.MonkeyPatch, *, draws: bool, behind: list[int]
) -> None:
    served = runner(model)
    rows: list[int] = []
    product = stack.product

    def counted(x: Tensor, *given: Any, **named: Any) -> Tensor:
        rows.append(len(x))
        return product(x, *given, **named)

    monkeypatch.setattr(stack, "product", counted)
    one = sequence(3, 12 if draws else 13)
    served.run(Batch((), (row(one, 0, 12, 0),)))
    assert rows == [12, 12, 12, *behind]


def test_looks_that_are_cut_into_parts_are_compiled_at_start(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    look = stack.look_with_chunks

    def noted(query: Tensor, chunks: Chunks, *given: Any) -> None:
        parts.append(chunks.parts)
        look(query, chunks, *given)

    monkeypatch.setattr(stack, "look_with_chunks", noted)
    long = copy.deepcopy(model)
    long.config.max_position_embeddings = 3 * LEAST
    GpuRunner(long, EngineSettings(page_tokens=64, kv_tokens=3 * LEAST, max_running=1))._warm()
    assert max(parts) > 0


@pytest.mark.parametrize(("at_once", "looks"), [(True, [True]), (False, [True, False, False])])
def test_a_long_chunk_is_looked_with_by_the_back_end_that_was_found(
    model: Any, monkeypatch: pytest.MonkeyPatch, *, at_once: bool, looks: list[bool]
) -> None:
    asked = []

    def attend(*given: Any) -> tuple[Tensor, Tensor]:
        asked.append(given[3])
        return plain_attend(*given)

    found = BackEnd("stand-in", "torch", attend, 4, at_once=at_once)
    monkeypatch.setattr(gpu_runner, "back_end", lambda *_: found)
    monkeypatch.setattr(far, "GRAIN", 2)
    monkeypatch.setattr(far, "LEAST_SEEN", 8)
    served = runner(model)
    one = sequence(1, 11)
    served.run(Batch((), (row(one, 0, 6, 0),)))
    assert not asked
    draws = served.run(Batch((), (row(one, 6, 5, 0),)))
    assert draws.tokens == wanted(model, one.tokens, 1)
    assert asked == 2 * looks  # each layer: all, or else the chunk, then 4 and 2 tokens before it


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_packed_weights_answer_as_what_they_stand_for(kind: Quantization, family: str) -> None:
    """A prompt in two chunks and single tokens, against the same model with unpacked weights."""
    model = build(family, hidden_size=128, intermediate_size=192)
    pack(model, kind)
    plain = unpacked(model)
    served = runner(model)
    one = sequence(1, 9)
    answer = wanted(plain, one.tokens, 4)
    served.run(Batch((), (row(one, 0, 6, 0),)))
    one.tokens += served.run(Batch((), (row(one, 6, 3, 0),))).tokens
    for place in (9, 10, 11):
        one.tokens += served.run(Batch((row(one, place, 1, 0),))).tokens
    assert one.tokens[9:] == answer


def test_a_step_begins_before_the_last_one_is_read(model: Any) -> None:
    served = runner(model)
    one = sequence(3, 5)
    answer = wanted(model, one.tokens, 3)
    first = served.begin(Batch((), (row(one, 0, 5, 0),)))
    rest = [served.begin(Batch((row(one, place, 1, 0),))) for place in (5, 6)]
    assert [flight.draws().tokens[0] for flight in (first, *rest)] == answer


def test_a_row_that_asks_for_more_is_drawn_by_the_host_and_goes_on_from_the_card(
    model: Any,
) -> None:
    served = runner(model)
    plain, asking = sequence(4, 5), sequence(4, 5, logit_bias=((7, 100.0),), logprobs=2)
    first = served.begin(Batch((), (row(plain, 0, 5, 0), row(asking, 0, 5, 10))))
    second = served.begin(Batch((row(plain, 5, 1, 0), row(asking, 5, 1, 10))))
    drawn = first.draws()
    assert drawn.tokens == [wanted(model, plain.tokens, 1)[0], 7]
    assert list(drawn.chances) == [1]
    assert len(drawn.chances[1].top) == 2
    assert second.draws().tokens[1] == 7


def test_a_draw_by_lot_is_the_same_in_any_batch(model: Any) -> None:
    def draws(others: int) -> int | None:
        served = runner(model)
        hot = sequence(5, 5, temperature=1.5, top_k=20, top_p=0.95, seed=3)
        rest = tuple(row(sequence(6 + at, 4), 0, 4, 20 + 5 * at) for at in range(others))
        return served.run(Batch((), (*rest, row(hot, 0, 5, 0)))).tokens[-1]

    assert draws(0) == draws(2)


def test_a_prompt_whose_chances_are_asked_for(model: Any) -> None:
    served = runner(model)
    asking = sequence(8, 6, prompt_logprobs=0)
    found = served.run(Batch((), (row(asking, 0, 6, 0),))).prompt_chances[asking]
    with torch.inference_mode():
        logprobs = model(torch.tensor([asking.tokens])).logits[0].log_softmax(-1)
    own = [logprobs[place, token].item() for place, token in enumerate(asking.tokens[1:])]
    assert [chance.logprob for chance in found] == pytest.approx(own, abs=1e-3)


def test_keys_and_values_in_8_bits_change_chances_little(model: Any) -> None:
    asking = sequence(8, 6, prompt_logprobs=0)
    served = runner(model, kv_dtype="fp8")
    batches = [Batch((), (row(asking, 0, 5, 0),)), Batch((row(asking, 5, 1, 0),))]
    found = [served.begin(batch).prompt_chances for batch in batches]
    chances = [each.logprob for its in found for each in its.get(asking, ())]
    with torch.inference_mode():
        logprobs = model(torch.tensor([asking.tokens])).logits[0].log_softmax(-1)
    own = [logprobs[place, token].item() for place, token in enumerate(asking.tokens[1:])]
    assert chances == pytest.approx(own, abs=0.6)
    assert chances != pytest.approx(own, abs=1e-3)


def test_a_draft_is_checked_as_far_as_the_model_agrees(model: Any) -> None:
    served = runner(model)
    one, other = sequence(3, 5), sequence(4, 6)
    answer = wanted(model, one.tokens, 4)
    beside = wanted(model, other.tokens, 2)
    first = Batch((), (row(one, 0, 5, 0), row(other, 0, 6, 10)))
    begun = served.begin(first)
    drafting = row(one, 5, 1, 0)
    drafting.draft = (answer[1], answer[2], (answer[3] + 1) % WORDS)
    drafting.pages = [0, 1, 2]
    draws = served.begin(Batch((drafting, row(other, 6, 1, 10)))).draws()
    assert begun.draws().tokens == [answer[0], beside[0]]
    assert draws.tokens == [answer[1], beside[1]]
    assert draws.more == {0: answer[2:4]}


def test_a_fork_gets_its_own_copy_of_a_page(model: Any) -> None:
    served = runner(model)
    one = sequence(9, 6)
    answer = wanted(model, one.tokens, 1)
    served.run(Batch((), (row(one, 0, 5, 0),)))
    fork = Sequence(list(one.tokens), 32)
    pages = [0, 30]
    batch = Batch((Row(fork, 5, 1, True, pages),), copies=((1, 30),))
    assert served.run(batch).tokens == answer


@pytest.mark.parametrize("kv_dtype", ["auto", "fp8"])
def test_a_prompt_put_away_on_the_host_and_brought_back_elsewhere_goes_on(
    model: Any, kv_dtype: str
) -> None:
    served = runner(model, kv_dtype=kv_dtype, host_kv_tokens=16 * SIZE)
    one, back = sequence(9, 9), sequence(9, 9)
    served.run(Batch((), (row(one, 0, 8, 0),)))
    stayed = served.run(Batch((row(one, 8, 1, 0),))).tokens
    served.run(Batch((), (row(sequence(5, 9), 0, 9, 20),), moves=Moves([(0, 3), (1, 7)])))
    served.run(Batch((), (row(sequence(6, 8), 0, 8, 0),)))
    assert served.begin(Batch((), moves=Moves((), [(3, 40), (7, 41)]))).draws().tokens == []
    assert served.run(Batch((row(back, 8, 1, 40),))).tokens == stayed


def test_logits_that_are_not_numbers_are_told(model: Any) -> None:
    served = runner(model)
    with torch.no_grad():
        served._stack._weights.norm.fill_(torch.nan)
    assert served.run(Batch((), (row(sequence(1, 4), 0, 4, 0),))).tokens == [None]


@pytest.mark.parametrize("family", FAMILIES)
def test_models_that_the_kernels_know_meet_no_hindrance(family: str) -> None:
    assert hindrance(build(family)) == ""


def test_what_the_kernels_do_not_know_of_a_model_is_named(model: Any) -> None:
    other = copy.deepcopy(model)
    pack(other, "int8")  # 32 numbers a row, where blocks have 64
    assert "layers.0.self_attn.q_proj (Linear8bitLt, 64 x 32)" in hindrance(other)
    other.to(torch.float64)
    assert "dtype is torch.float64, none of torch.bfloat16" in hindrance(other)
    other.model.rotary_emb.rope_type = "dynamic"
    assert "rope_type is dynamic, none of default" in hindrance(other)
    other.config.hidden_act = "gelu"
    assert "hidden_act is gelu, not silu" in hindrance(other)
    assert "Linear is none of the families GlmForCausalLM" in hindrance(nn.Linear(1, 1))


def test_a_runner_names_its_kernels_and_what_its_pages_are_kept_in(model: Any) -> None:
    named = {"runner": "own kernels", "long_chunks": "own kernel", "recordings": 0}
    assert runner(model).nameplate == {**named, "kv_dtype": "float32"}
    assert runner(model, kv_dtype="fp8").nameplate == {**named, "kv_dtype": "fp8"}
