import pytest
import torch

from serve_app.engine.model import ModelRunner, store_by_column
from serve_app.engine.sequence import Sequence
from serve_app.settings import EngineSettings
from tests.engine.parts import Machine, Twins, answer, build, prompt


def test_a_broken_row_does_not_spread_through_padding() -> None:
    """The sick row holds page 0, the first page; a long third row makes all tables wide."""
    model = build("glm", torch.float32)
    machine = Machine(model, EngineSettings())
    sick, well, long = (
        Sequence(prompt(1, 3), 4),
        Sequence(prompt(2, 3), 4),
        Sequence(prompt(3, 60), 4),
    )
    for sequence in (sick, well, long):
        machine.scheduler.add(sequence)
    machine.step()
    assert sick.pages == [0]
    with torch.no_grad():
        model.model.embed_tokens.weight[sick.tokens[-1]] = torch.nan
    batch = machine.scheduler.schedule()
    assert [token is None for token in machine.runner.run(batch).tokens] == [True, False, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keys_and_values_have_the_models_dtype_and_device(dtype: torch.dtype) -> None:
    runner = ModelRunner(build("glm", dtype), EngineSettings(page_tokens=4, kv_tokens=64))
    layers = runner._cache.layers
    assert {layer.dtype for layer in layers} == {dtype}
    assert {tuple(layer.shape) for layer in layers} == {(16 + 1, 4, 2 + 2, 8)}


def test_a_model_in_bfloat16_answers() -> None:
    sequences = [Sequence(prompt(n, 20 * n), 5) for n in range(1, 4)]
    Machine(build("glm", torch.bfloat16), EngineSettings(step_tokens=16)).finish(sequences)
    assert [len(answer(sequence)) for sequence in sequences] == [5, 5, 5]


def test_a_batch_in_which_nobody_draws_is_computed(twins: Twins) -> None:
    machine = Machine(twins.served, EngineSettings(step_tokens=8))
    machine.scheduler.add(Sequence(prompt(1, 20), 1))
    assert machine.step().drawing == []


def test_weights_laid_out_by_column_keep_their_values() -> None:
    model, untouched = (build("glm", torch.float32) for _ in range(2))
    store_by_column(model)
    assert model.lm_head.weight.stride() == (1, model.lm_head.weight.shape[0])
    for (name, weight), (_, before) in zip(
        model.named_parameters(), untouched.named_parameters(), strict=True
    ):
        assert torch.equal(weight, before), name


def test_a_weight_that_is_also_the_embedding_is_left_as_it_is() -> None:
    model = build("glm", torch.float32)
    model.lm_head.weight = model.model.embed_tokens.weight
    store_by_column(model)
    assert model.lm_head.weight.is_contiguous()


def test_rows_of_very_different_length_are_padded_apart(twins: Twins) -> None:
    machine = Machine(twins.served, EngineSettings(step_tokens=1024))
    lengths = (300, 5, 450, 20)
    sequences = [Sequence(prompt(length, length), 45) for length in lengths]
    for sequence in sequences:
        machine.scheduler.add(sequence)
    machine.step()
    batch = machine.scheduler.schedule()
    paged = machine.runner._packer.inputs(batch)["paged"]
    assert [group.mask.shape[0] for group in paged.groups] == [2, 2]
    assert paged.groups[0].mask.shape[-1] == 21
    machine.scheduler.apply(batch, machine.runner.run(batch))
    machine.finish()
    for length, sequence in zip(lengths, sequences, strict=True):
        assert answer(sequence) == twins.generate(prompt(length, length), 45)
