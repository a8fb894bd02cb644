"""What an engine says of itself when it is ready."""

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import torch
from torch import nn

from serve_app.engine.model import ModelRunner
from serve_app.engine.nameplate import OWN_KERNELS, leaves_kernels_unused, nameplate
from serve_app.loading import load_engine
from serve_app.models.quantised import LINEARS, PACK
from serve_app.settings import EngineSettings, LogSettings, ModelSettings, Settings
from serve_app.telemetry import configure
from tests.engine.parts import build


def test_a_card_is_told_with_its_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("glm", torch.bfloat16)
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    settings = EngineSettings(kv_tokens=4096, host_kv_tokens=64, tensor_parallel=2)
    assert nameplate(model, settings) == {
        "device": "cuda",
        "card": "NVIDIA H200 (sm_90)",
        "weights": "bfloat16",
        "tensor_parallel": 2,
        "kv_tokens": 4096,
        "host_kv_tokens": 64,
    }


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_packed_weights_are_told_by_their_kind(kind: Any) -> None:
    plain = nn.Linear(64, 64, bias=False)
    packed = LINEARS[kind](plain, torch.float32)
    packed.weight = PACK[kind](packed, plain.weight.data, torch.device("cpu"))
    model: Any = SimpleNamespace(device=torch.device("cpu"), modules=lambda: [packed, plain])
    assert nameplate(model, EngineSettings())["weights"] == kind


def test_transformers_modules_are_told_as_such() -> None:
    runner = ModelRunner(build("glm", torch.float32), EngineSettings(kv_tokens=64))
    assert runner.nameplate == {"runner": "transformers' modules", "kv_dtype": "float32"}


def test_modules_on_a_gpu_leave_its_kernels_unused_and_nothing_else_does() -> None:
    modules = ModelRunner(build("glm", torch.float32), EngineSettings(kv_tokens=64)).nameplate
    assert leaves_kernels_unused({"device": "cuda", **modules})
    assert not leaves_kernels_unused({"device": "cuda", "runner": OWN_KERNELS})
    assert not leaves_kernels_unused({"device": "cpu", **modules})


def test_one_line_says_what_computes_once_an_engine_is_ready() -> None:
    lines = io.StringIO()
    configure(LogSettings(format="json"), lines)
    settings = Settings(model=ModelSettings(device="cpu"), engine=EngineSettings(kv_tokens=2048))
    try:
        load_engine(settings)
    finally:
        structlog.reset_defaults()
    *_, line = map(json.loads, lines.getvalue().splitlines())
    assert line.pop("duration_s") > 0
    assert line.pop("ts")
    assert line == {
        "level": "info",
        "event": "engine_ready",
        "model": "glm-nano",
        "device": "cpu",
        "runner": "transformers' modules",
        "weights": "float32",
        "kv_dtype": "float32",
        "tensor_parallel": 1,
        "kv_tokens": 2048,
        "host_kv_tokens": 0,
    }
