"""The plan is made from config and headers alone, and holds against the truth."""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from serve_app.engine import packer
from serve_app.engine.limits import Limits
from serve_app.errors import BadSettings
from serve_app.models import catalogue, device, manifest
from serve_app.models.device import plan_memory, refuse_unless_stored
from serve_app.models.plan import Device, MemoryPlan, Placement
from serve_app.models.precision import Dtype, Quantization
from serve_app.models.streams import Streams, streams
from serve_app.models.workspace import GROUP_TOKENS, GROUPS, RECALLED_TOKENS
from serve_app.settings import EngineSettings, ModelSettings, Settings
from tests.models import original

GIB, KIB, MIB = 2**30, 2**10, 2**20

GLM_4_9B_CHAT = {
    **original.CONFIG,
    "ffn_hidden_size": 13696,
    "hidden_size": 4096,
    "kv_channels": 128,
    "layernorm_epsilon": 1.5625e-07,
    "multi_query_group_num": 2,
    "num_attention_heads": 32,
    "num_layers": 40,
    "padded_vocab_size": 151552,
    "rope_ratio": 500,
    "seq_length": 131072,
}
GLM_4_9B_CHAT_1M = {
    **GLM_4_9B_CHAT,
    "multi_query_group_num": 4,
    "rope_ratio": 10000,
    "seq_length": 1048576,
}


def shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of the original format, by name and shape."""
    hidden, inner, vocabulary = (
        config[name] for name in ("hidden_size", "ffn_hidden_size", "padded_vocab_size")
    )
    queries = config["num_attention_heads"] * config["kv_channels"]
    both = queries + 2 * config["multi_query_group_num"] * config["kv_channels"]
    yield "transformer.embedding.word_embeddings.weight", (vocabulary, hidden)
    yield "transformer.output_layer.weight", (vocabulary, hidden)
    yield "transformer.encoder.final_layernorm.weight", (hidden,)
    for layer in range(config["num_layers"]):
        its = f"transformer.encoder.layers.{layer}."
        yield its + "input_layernorm.weight", (hidden,)
        yield its + "post_attention_layernorm.weight", (hidden,)
        yield its + "self_attention.query_key_value.weight", (both, hidden)
        yield its + "self_attention.query_key_value.bias", (both,)
        yield its + "self_attention.dense.weight", (hidden, queries)
        yield its + "mlp.dense_h_to_4h.weight", (2 * inner, hidden)
        yield its + "mlp.dense_4h_to_h.weight", (hidden, inner)


def put_hollow(shelf: Path, name: str, config: dict[str, Any]) -> Path:
    """A model of true size whose weights are holes: it takes no room on disk."""
    folder = shelf / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    header, end = {}, 0
    for tensor, shape in shapes(config):
        begin = end
        end += 2 * (shape[0] if len(shape) == 1 else shape[0] * shape[1])
        header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    listed = {"name": name, "format": 1, "created": 0, "context_tokens": config["seq_length"]}
    (folder / manifest.MANIFEST).write_text(json.dumps({**listed, "files": {}}))
    return folder


def plan(
    folder: Path, where: Device, dtype: Dtype, quantization: Quantization = "none", **engine: int
) -> MemoryPlan:
    settings = Settings(
        model=ModelSettings(name=folder.name, folder=folder.parent, quantization=quantization),
        engine=EngineSettings(**engine),
    )
    found = catalogue.find(settings.model)
    return device.plan_memory(found, Placement(where, dtype), settings)


@pytest.mark.parametrize(
    ("config", "quantization", "kib_a_token", "weights_gib"),
    [
        (GLM_4_9B_CHAT, "none", 40, 17.5),
        (GLM_4_9B_CHAT, "int8", 40, 9.9),
        (GLM_4_9B_CHAT, "nf4", 40, 6.6),
        (GLM_4_9B_CHAT_1M, "none", 80, 17.7),
        (GLM_4_9B_CHAT_1M, "int8", 80, 10.0),
        (GLM_4_9B_CHAT_1M, "nf4", 80, 6.65),
    ],
)
def test_glm_4_9b_is_planned_from_headers_alone(
    tmp_path: Path,
    config: dict[str, Any],
    quantization: Quantization,
    kib_a_token: int,
    weights_gib: float,
) -> None:
    folder = put_hollow(tmp_path, "glm-4-9b-chat", config)

    made = plan(folder, "cpu", "bfloat16", quantization)

    assert made.kv_bytes_per_token == kib_a_token * KIB
    assert made.kv_tokens_per_gib == GIB // KIB // kib_a_token
    assert made.weights_bytes / GIB == pytest.approx(weights_gib, abs=0.06)
    assert not made.fits or made.free_bytes > made.weights_bytes


def test_a_cpu_keeps_copies_side_by_side_and_says_so(tmp_path: Path) -> None:
    folder = put_hollow(tmp_path, "glm-4-9b-chat", GLM_4_9B_CHAT)

    small = plan(folder, "cpu", "float32", kv_tokens=4096)
    large = plan(folder, "cpu", "float32", kv_tokens=10**6)

    assert small.window_tokens == 2 * 4096
    assert large.window_tokens == GROUPS * GROUP_TOKENS
    assert large.spare_bytes > large.kv_bytes_per_token * large.window_tokens


def test_the_copies_are_those_of_the_engine() -> None:
    assert packer.KEPT == GROUP_TOKENS
    assert Limits.of(EngineSettings()).recalled_tokens == RECALLED_TOKENS
    assert (packer.KEPT // packer.SHORT).bit_length() == GROUPS


def test_streams_of_every_length_are_counted_in_whole_pages() -> None:
    made = MemoryPlan(
        weights_bytes=0,
        kv_bytes_per_token=40 * KIB,
        kv_tokens=100_000,
        free_bytes=20 * GIB,
        work_bytes=0,
    )

    assert list(streams(made, context_tokens=131_072, page_tokens=64)) == [
        Streams(1024, held=97, at_most=512),
        Streams(8192, held=12, at_most=64),
        Streams(32768, held=3, at_most=16),
        Streams(131_072, held=0, at_most=4),
    ]
    assert [each.tokens for each in streams(made, 9000, 64)] == [1024, 8192, 9000]


MEASURE = """
import json, sys
from pathlib import Path
import psutil, torch
torch.set_num_threads(1)
from serve_app.engine.model import ModelRunner
from serve_app.models.load import load
from serve_app.settings import EngineSettings, ModelSettings, Settings
def taken():
    return psutil.Process().memory_info().rss
folder = Path(sys.argv[1])
small = Settings(model=ModelSettings(name="small", folder=folder, device="cpu"))
runner = ModelRunner(load(small).model, EngineSettings(kv_tokens=64))
del runner
settings = Settings(
    model=ModelSettings(name="large", folder=folder, device="cpu"),
    engine=EngineSettings(kv_tokens=int(sys.argv[2])),
)
before = taken()
runner = ModelRunner(load(settings).model, settings.engine)
for layer in runner._cache.layers:
    layer.fill_(1.0)
print(json.dumps(taken() - before))
"""
BOUND = 0.10  # of weights and cache together; allocators round, and libraries grow


@pytest.mark.timeout(240)  # it starts a program that imports all of torch
def test_a_loaded_model_takes_what_was_planned(saved: Path, tmp_path: Path) -> None:
    large = {"hidden_size": 768, "ffn_hidden_size": 2048, "kv_channels": 64}
    large |= {"num_attention_heads": 12, "padded_vocab_size": 8192, "num_layers": 4}
    for name, config in (("small", original.CONFIG), ("large", {**original.CONFIG, **large})):
        original.save(tmp_path / name, config, original.random_weights(config))
        for file in saved.glob("tokenizer*.json"):
            shutil.copy(file, tmp_path / name)
        manifest.write(tmp_path / name, name, context_tokens=256, created=0)
    kv_tokens = 16384
    made = plan(tmp_path / "large", "cpu", "float32", kv_tokens=kv_tokens)

    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), str(kv_tokens)],
        capture_output=True,
        check=True,
        text=True,
    )

    expected = made.weights_bytes + made.kv_bytes
    assert expected > 200 * MIB
    assert json.loads(run.stdout.splitlines()[-1]) == pytest.approx(expected, rel=BOUND)


def a_card(monkeypatch: pytest.MonkeyPatch, *capability: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA A100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)


IN_8_BITS = EngineSettings(kv_dtype="fp8")


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (8, 6)])
def test_keys_and_values_in_8_bits_are_refused_on_a_card_that_has_none(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    a_card(monkeypatch, *capability)
    with pytest.raises(BadSettings, match=r"^engine\.kv_dtype: expected auto, for NVIDIA A100 "):
        refuse_unless_stored(IN_8_BITS, Placement("cuda", "bfloat16"))
    refuse_unless_stored(EngineSettings(), Placement("cuda", "bfloat16"))
    refuse_unless_stored(IN_8_BITS, Placement("cpu", "float32"))  # which says that it ignores them


@pytest.mark.parametrize("capability", [(8, 9), (9, 0), (10, 0)])
def test_cards_that_have_8_bit_floats_keep_them(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    a_card(monkeypatch, *capability)
    refuse_unless_stored(IN_8_BITS, Placement("cuda", "bfloat16"))


def test_the_plan_of_a_model_says_so_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_card(monkeypatch, 8, 0)
    folder = catalogue.find(ModelSettings())
    with pytest.raises(BadSettings, match=r"compute capability 8\.0\).* fp8 needs 8\.9"):
        plan_memory(folder, Placement("cuda", "bfloat16"), Settings(engine=IN_8_BITS))
