"""Which runner computes, and what is said where it is not the fastest."""

import io
from subprocess import CalledProcessError
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import torch
from torch import Tensor
from triton.runtime.errors import OutOfResources, PTXASError

from serve_app.engine import runners
from serve_app.engine.model import ModelRunner
from serve_app.settings import EngineSettings, LogSettings
from serve_app.telemetry import configure
from tests.engine.parts import build


@pytest.fixture
def lines() -> Any:
    told = io.StringIO()
    configure(LogSettings(), told)
    yield told
    structlog.reset_defaults()


def test_a_card_that_the_kernels_do_not_suit_is_served_by_torch_alone(
    monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    monkeypatch.setattr(runners, "find_spec", lambda _: None)
    monkeypatch.setattr(runners, "ModelRunner", lambda model, *_: ("plain", model))
    model = SimpleNamespace(device=torch.device("cuda"))
    assert runners.runner_for(model, EngineSettings()) == ("plain", model)
    assert "Triton is not installed" in lines.getvalue()


@pytest.fixture
def on_card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model that says it lies on an H200; either runner is its own name."""
    model = build("glm", torch.float32)
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(runners, "ModelRunner", lambda *_: "modules")
    monkeypatch.setattr("serve_app.engine.gpu.runner.GpuRunner", lambda *_: "kernels")
    return model


def test_kernels_serve_where_triton_makes_one(on_card: Any, lines: io.StringIO) -> None:
    assert runners.runner_for(on_card, EngineSettings()) == "kernels"
    assert not lines.getvalue()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to find C compiler. Please specify via CC environment variable"),
        RuntimeError("Triton Error [CUDA]: device kernel image is invalid"),
        CalledProcessError(1, ["gcc", "main.c"]),
        FileNotFoundError(2, "No such file or directory: 'nocc'"),
        AssertionError("libcuda.so cannot found!"),
        ImportError("cuda_utils.so: undefined symbol"),
        PTXASError("unsupported .version 9.0"),
        OutOfResources(232448, 101376, "shared memory"),
    ],
    ids=repr,
)
def test_where_triton_can_make_none_transformers_serves_and_the_log_says_why(
    on_card: Any, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(_: Tensor) -> Tensor:
        raise error

    monkeypatch.setattr("serve_app.engine.gpu.kernels.swiglu.swiglu", failing)
    assert runners.runner_for(on_card, EngineSettings()) == "modules"
    (line,) = lines.getvalue().splitlines()
    assert "kernels_unused" in line
    assert f"gcc and Python's headers ({type(error).__name__}: {error}" in line


def test_a_model_that_the_kernels_do_not_know_is_told_with_what_is_strange(
    on_card: Any, lines: io.StringIO
) -> None:
    on_card.config.hidden_act = "gelu"
    assert runners.runner_for(on_card, EngineSettings()) == "modules"
    assert "the kernels do not know this model: hidden_act is gelu, not silu" in lines.getvalue()


def test_keys_and_values_in_8_bits_are_for_cards_and_a_cpu_says_so(lines: io.StringIO) -> None:
    chosen = EngineSettings(kv_dtype="fp8")
    assert isinstance(runners.runner_for(build("glm", torch.float32), chosen), ModelRunner)
    assert "kv_dtype_unused" in lines.getvalue()
