"""Every weight is dealt out: each rank gets its part, and together they have the whole."""

from pathlib import Path
from typing import Any

import pytest
import torch

from serve_app.errors import BadModel
from serve_app.models import blueprint
from serve_app.models.blueprint import Architecture, Source
from serve_app.models.load import load, load_share
from serve_app.models.shares import Share
from serve_app.models.tensors import Stored
from serve_app.settings import EngineSettings, ModelSettings, Settings

FIELDS: dict[str, Any] = {
    "num_attention_heads": 32,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 13696,
    "vocab_size": 151552,
}
BUILT = Architecture("glm", FIELDS)


def sources(**shapes: tuple[int, ...]) -> dict[str, Source]:
    return {
        name: Source(Stored(Path("w.safetensors"), name, "BF16", shape))
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def nano() -> list[Any]:
    """The whole model of the box, then the shares of two ranks."""
    settings = Settings(model=ModelSettings(device="cpu"), engine=EngineSettings(tensor_parallel=2))
    return [
        load(Settings(model=settings.model)).model,
        load_share(settings, 0),
        load_share(settings, 1),
    ]


def test_two_shares_side_by_side_are_the_whole_model(nano: list[Any]) -> None:
    whole, *shares = (each.model.layers[3] for each in nano)
    one, other = (each.mlp.gate_up_proj.weight.chunk(2) for each in shares)
    gate_up = [one[0], other[0], one[1], other[1]]
    assert torch.equal(torch.cat(gate_up), whole.mlp.gate_up_proj.weight)
    for name, dim in (("q_proj", 0), ("k_proj", 0), ("v_proj", 0), ("o_proj", 1)):
        parts = [getattr(each.self_attn, name).weight for each in shares]
        assert torch.equal(torch.cat(parts, dim), getattr(whole.self_attn, name).weight)
    heads = [each.lm_head.weight for each in nano[1:]]
    assert torch.equal(torch.cat(heads), nano[0].lm_head.weight)


def test_of_two_heads_of_keys_four_ranks_hold_each_twice() -> None:
    name = "model.layers.0.self_attn.k_proj.weight"
    held = [
        Share(rank, 4).sources(sources(**{name: (256, 4096)}), BUILT)[name].rows
        for rank in range(4)
    ]
    assert held == [((0, 128),), ((0, 128),), ((128, 256),), ((128, 256),)]


def test_a_part_of_rows_that_are_a_part_already_lies_where_those_do() -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    fused = Source(Stored(Path("w.safetensors"), "qkv", "BF16", (4608, 4096)), ((0, 4096),))
    keys = Source(fused.stored, ((4096, 4352),))
    beside = {name: fused, name.replace("q_proj", "k_proj"): keys}
    held = Share(1, 2).sources(beside, BUILT)
    assert held[name].rows == ((2048, 4096),)
    assert held[name.replace("q_proj", "k_proj")].rows == ((4224, 4352),)
    assert held[name].shape == (2048, 4096)


@pytest.mark.parametrize(("ranks", "field"), [(3, "num_attention_heads"), (64, "num_attention")])
def test_what_cannot_be_dealt_out_evenly_is_refused_by_its_name(ranks: int, field: str) -> None:
    with pytest.raises(BadModel, match=field):
        Share(0, ranks).of(BUILT)


def test_a_model_that_is_stored_quantised_is_not_dealt_out() -> None:
    built = blueprint.Architecture("glm", {**FIELDS, "quantization_config": {"load_in_4bit": True}})
    with pytest.raises(BadModel, match="BF16"):
        Share(0, 2).of(built)
