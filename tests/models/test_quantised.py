"""Models in 4 and 8 bits answer as transformers' own do, fresh or stored, in every batch."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from serve_app.engine.sequence import Sequence
from serve_app.errors import BadModel, BadSettings
from serve_app.models import blueprint
from serve_app.models.precision import Quantization, precision
from serve_app.settings import EngineSettings
from tests.engine.parts import Machine, Twins, answer, prompt
from tests.models import families, original

LENGTHS = (48, 7, 90, 1)
COUNT = 16
FAMILIES = ("glm", "glm4")
QUANTISED = ("nf4", "int8")


@pytest.fixture(scope="module", params=FAMILIES)
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    families.save(folder, request.param)
    return folder


def products(model: Any) -> dict[str, Any]:
    """Names and modules of all linears."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def check_equals_generate(twins: Twins, settings: EngineSettings) -> None:
    machine = Machine(twins.served, settings)
    prompts = [prompt(seed, length) for seed, length in enumerate(LENGTHS)]
    sequences = [Sequence(list(tokens), COUNT) for tokens in prompts]
    machine.finish(sequences)
    for tokens, sequence in zip(prompts, sequences, strict=True):
        assert answer(sequence) == twins.generate(tokens, COUNT)


@pytest.mark.parametrize("step_tokens", [7, 512])
@pytest.mark.parametrize("wanted", ["none", *QUANTISED])
def test_greedy_answers_equal_those_of_transformers(
    plain: Path, wanted: Quantization, step_tokens: int
) -> None:
    twins = Twins(families.read(plain, wanted), families.reference(plain, wanted))

    check_equals_generate(twins, EngineSettings(step_tokens=step_tokens))


@pytest.mark.timeout(240)  # eight mixes, by kernels that a CPU has no good ones for
@pytest.mark.parametrize("wanted", QUANTISED)
def test_any_mix_gives_each_the_likeliest_tokens(plain: Path, wanted: Quantization) -> None:
    """Pages, steps, places and room as chance has it; some share beginnings, some have to wait."""
    twins = Twins(families.read(plain, wanted), families.reference(plain, wanted))
    hits = preemptions = 0
    for seed in range(8):
        machine, sequences = mixed(twins, random.Random(seed))
        for one in sequences:
            expected = twins.likeliest(one.tokens[:-1])
            assert answer(one) == expected[one.prompt_tokens - 1 :]
        hits += sum(one.cached for one in sequences)
        preemptions += machine.scheduler.totals.preemptions
        assert machine.scheduler.blocks.available == machine.scheduler.blocks.total
    assert hits
    assert preemptions


def mixed(twins: Twins, chance: random.Random) -> tuple[Machine, list[Sequence]]:
    """Ten requests that come one after the other, of one to three answers each; all have ended."""
    settings = EngineSettings(
        page_tokens=chance.choice([1, 4, 16]),
        step_tokens=chance.choice([1, 7, 40, 80]),
        kv_tokens=chance.choice([128, 160, 240]),
        max_running=chance.choice([2, 5, 8]),
    )
    machine, sequences = Machine(twins.served, settings), []
    for _ in range(10):
        leader = Sequence(prompt(chance.randrange(3), chance.randint(1, 60)), chance.randint(1, 30))
        forks = [leader.fork(leader.choice) for _ in range(chance.choice([0, 0, 1, 2]))]
        sequences += [leader, *forks]
        machine.scheduler.add(leader)
        for _ in range(chance.randrange(4)):
            machine.step()
    machine.finish()
    return machine, sequences


@pytest.mark.parametrize("wanted", QUANTISED)
def test_a_checkpoint_that_is_stored_so_needs_no_wish(
    plain: Path, wanted: Quantization, tmp_path: Path
) -> None:
    families.reference(plain, wanted).save_pretrained(tmp_path)

    twins = Twins(families.read(tmp_path), families.reference(plain, wanted))

    check_equals_generate(twins, EngineSettings())


@pytest.mark.parametrize("wanted", QUANTISED)
def test_only_the_products_inside_the_layers_are_quantised(
    plain: Path, wanted: Quantization
) -> None:
    model = families.read(plain, wanted)

    floats = {name for name, module in products(model).items() if module.weight.is_floating_point()}
    assert floats == {"lm_head"}
    assert model.model.embed_tokens.weight.dtype is torch.float32


def test_eight_bits_never_look_for_outliers(plain: Path) -> None:
    model = families.read(plain, "int8")

    thresholds = {
        module.state.threshold for name, module in products(model).items() if ".layers." in name
    }
    assert thresholds == {0.0}


def test_four_bits_keep_scales_in_full_and_compute_in_the_models_numbers(plain: Path) -> None:
    model = families.read(plain, "nf4")

    product = model.model.layers[0].mlp.down_proj
    assert product.compute_dtype is torch.float32
    assert product.weight.quant_state.absmax.dtype is torch.float32
    assert product.weight.quant_state.quant_type == "nf4"


def test_scales_that_are_stored_in_a_byte_are_read_as_what_they_stand_for(
    plain: Path, tmp_path: Path
) -> None:
    families.reference(plain, "nf4", nested=True).save_pretrained(tmp_path)

    twins = Twins(families.read(tmp_path), families.reference(plain, "nf4", nested=True))

    state = products(twins.served)["model.layers.0.mlp.down_proj"].weight.quant_state
    assert state.absmax.dtype is torch.float32
    check_equals_generate(twins, EngineSettings())


@pytest.mark.parametrize("wanted", QUANTISED)
def test_chatglm_is_quantised_like_its_conversion(tmp_path: Path, wanted: Quantization) -> None:
    config = {**original.CONFIG, "ffn_hidden_size": 128}
    original.save(tmp_path / "original", config, original.random_weights(config))
    families.read(tmp_path / "original").save_pretrained(tmp_path / "converted")

    tokens = torch.tensor([original_prompt()])
    with torch.inference_mode():
        ours = families.read(tmp_path / "original", wanted)(tokens).logits
        theirs = families.reference(tmp_path / "converted", wanted)(tokens).logits

    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def original_prompt() -> list[int]:
    return [token % original.CONFIG["padded_vocab_size"] for token in prompt(3, 40)]


def test_another_quantization_than_the_stored_one_is_a_mistake_of_the_settings() -> None:
    stored = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}

    assert precision("float32", "nf4", stored).stored
    with pytest.raises(BadSettings, match=r"^model\.quantization: expected none or nf4"):
        precision("float32", "int8", stored)


def test_another_way_of_quantising_is_refused_by_its_name() -> None:
    with pytest.raises(BadModel, match="quantised by 'gptq'"):
        precision("float32", "none", {"quantization_config": {"quant_method": "gptq"}})


def test_a_stored_weight_without_its_scales_is_named(plain: Path, tmp_path: Path) -> None:
    families.reference(plain, "nf4").save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.0.mlp.down_proj.weight.absmax"]
    save_file(tensors, tmp_path / "model.safetensors")

    with pytest.raises(BadModel, match=r"layers\.0\.mlp\.down_proj\.weight of the model cannot"):
        families.read(tmp_path)


def test_the_plan_knows_the_bytes_of_every_number_format(plain: Path) -> None:
    built = blueprint.architecture(plain)
    sources = blueprint.sources(plain, built)
    for wanted in ("none", "nf4", "int8"):
        held = precision("float32", wanted, built.fields)
        planned = sum(held.bytes(name, source) for name, source in sources.items())

        assert planned == pytest.approx(in_memory(families.read(plain, wanted)), rel=0.002)


@pytest.mark.parametrize("nested", [False, True])
def test_the_plan_knows_the_bytes_of_a_checkpoint_in_4_bits(
    plain: Path, tmp_path: Path, *, nested: bool
) -> None:
    families.reference(plain, "nf4", nested=nested).save_pretrained(tmp_path)
    built = blueprint.architecture(tmp_path)
    held = precision("float32", "none", built.fields)
    planned = [held.bytes(*its) for its in blueprint.sources(tmp_path, built).items()]

    assert sum(planned) == pytest.approx(in_memory(families.read(tmp_path)), rel=0.01)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("wanted", QUANTISED)
def test_the_plan_knows_what_a_weight_takes_once_it_is_unpacked(
    plain: Path, tmp_path: Path, wanted: Quantization, *, stored: bool
) -> None:
    if stored:
        families.reference(plain, wanted).save_pretrained(tmp_path)
    built = blueprint.architecture(tmp_path if stored else plain)
    held = precision("float32", "none" if stored else wanted, built.fields)
    sources = blueprint.sources(tmp_path if stored else plain, built)

    largest = max(held.unpacked_bytes(name, source) for name, source in sources.items())
    assert largest == 2 * 192 * 128 * 4


def in_memory(model: Any) -> int:
    """Bytes of all parameters and of what belongs to quantised ones."""
    return sum(weight.nbytes + statistics_bytes(weight) for weight in model.parameters())


def statistics_bytes(weight: Any) -> int:
    state = getattr(weight, "quant_state", None)
    scales = getattr(weight, "SCB", None)
    if state is not None:
        return state.absmax.nbytes + state.code.nbytes
    return 0 if scales is None else scales.nbytes
