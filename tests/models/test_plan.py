"""Whether a model fits is known before a byte of it is loaded."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.errors import BadModel, BadSettings
from serve_app.models.plan import (
    WORKSPACE_BYTES,
    KvShape,
    MemoryPlan,
    Placement,
    place,
    refuse_unless_fits,
)
from serve_app.models.precision import ITEM_BYTES
from serve_app.settings import ModelSettings

GIB = 2**30
sizes = st.integers(0, 200 * GIB)


@pytest.mark.parametrize(
    ("device", "dtype", "cuda_available", "placement"),
    [
        ("auto", "auto", False, Placement("cpu", "float32")),
        ("auto", "auto", True, Placement("cuda", "bfloat16")),
        ("cpu", "auto", True, Placement("cpu", "float32")),
        ("cuda", "float16", True, Placement("cuda", "float16")),
        ("auto", "bfloat16", False, Placement("cpu", "bfloat16")),
    ],
)
def test_auto_means_what_is_fast_on_what_is_there(
    device: str, dtype: str, cuda_available: bool, placement: Placement
) -> None:
    wanted = ModelSettings.model_validate({"device": device, "dtype": dtype})

    assert place(wanted, cuda_available=cuda_available) == placement


def test_a_gpu_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(BadSettings, match=r"^model\.device: expected a GPU"):
        place(ModelSettings(device="cuda"), cuda_available=False)


def test_glm_4_9b_keeps_eighty_kibibytes_a_token_with_four_heads_of_keys() -> None:
    shape = KvShape(num_hidden_layers=40, num_key_value_heads=4, head_dim=128)

    assert shape.bytes_per_token("bfloat16") == 80 * 1024
    assert shape.bytes_per_token("float32") == 160 * 1024
    assert shape.scaled_bytes_per_token == 2 * 40 * 4 * (128 + 4)


def test_a_cache_that_is_too_large_is_refused_with_the_size_that_would_fit() -> None:
    plan = MemoryPlan(
        weights_bytes=18 * GIB, kv_bytes_per_token=80 * 1024, kv_tokens=131_072, free_bytes=24 * GIB
    )

    with pytest.raises(BadModel) as caught:
        refuse_unless_fits(plan, "cuda")

    assert caught.value.message == (
        "The model needs 28.25 GiB (18.00 GiB of weights, 10.00 GiB for 131072 KV tokens, "
        "0.25 GiB to work in), but cuda has 24.00 GiB free. "
        "Set engine.kv_tokens to 75366 or less, or free memory."
    )


def test_weights_that_are_too_large_ask_for_another_model_or_machine() -> None:
    plan = MemoryPlan(18 * GIB, kv_bytes_per_token=1024, kv_tokens=1, free_bytes=16 * GIB)

    with pytest.raises(BadModel, match=r"Choose a smaller model"):
        refuse_unless_fits(plan, "cpu")


def test_a_host_with_too_little_memory_is_told_before_anything_is_loaded() -> None:
    plan = MemoryPlan(
        weights_bytes=18 * GIB,
        kv_bytes_per_token=40 * 1024,
        kv_tokens=131_072,
        free_bytes=140 * GIB,
        host_tokens=10**6,
        host_free_bytes=32 * GIB,
    )

    with pytest.raises(BadModel) as caught:
        refuse_unless_fits(plan, "cuda")

    assert caught.value.message == (
        "engine.host_kv_tokens: 1000000 take 38.15 GiB of the host's memory, of which 32.00 GiB "
        "are free. Set it to 838860 or less."
    )
    assert plan.told("cuda").endswith(
        "; 38.15 GiB of 32.00 GiB free on the host for 1000000 KV tokens more"
    )


def test_on_a_cpu_pages_put_away_take_the_memory_of_the_others() -> None:
    alone = MemoryPlan(GIB, kv_bytes_per_token=1024, kv_tokens=1024, free_bytes=4 * GIB)
    beside = replace(alone, host_tokens=2**20)

    assert beside.needed_bytes == alone.needed_bytes + GIB
    assert beside.kv_tokens_that_fit == alone.kv_tokens_that_fit - 2**20
    assert replace(alone, host_tokens=2**22).fits is False


@given(
    weights=sizes,
    per_token=st.integers(1, 2**20),
    tokens=st.integers(1, 2**21),
    free=sizes,
    window=st.integers(0, 10**5),
)
def test_the_advised_cache_fits_and_one_token_more_does_not(
    *, weights: int, per_token: int, tokens: int, free: int, window: int
) -> None:
    def plan(kv_tokens: int) -> MemoryPlan:
        return MemoryPlan(weights, per_token, kv_tokens, free, window_limit=window)

    advised = plan(tokens).kv_tokens_that_fit

    assert plan(advised).fits == (weights + WORKSPACE_BYTES <= free)
    assert not plan(advised + 1).fits


def test_a_weight_that_cannot_be_laid_out_anew_needs_its_room_before_the_cache() -> None:
    plan = MemoryPlan(
        weights_bytes=18 * GIB,
        kv_bytes_per_token=1024,
        kv_tokens=1024,
        free_bytes=20 * GIB,
        largest_bytes=3 * GIB,
    )

    assert plan.needed_bytes == 21 * GIB
    assert plan.kv_tokens_that_fit == 0


def test_every_number_format_has_its_size() -> None:
    assert ITEM_BYTES == {"float32": 4, "bfloat16": 2, "float16": 2}
