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
from serve_app.errors import BadSettings
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
    weight, config = torch.ones(1, 8), SimpleNamespace(hidden_size=8)
    head = SimpleNamespace(weight=weight)
    model = SimpleNamespace(device=torch.device("cuda"), lm_head=head, config=config)
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


GCC, EXEC = "gcc and Python's headers", "must not be mounted noexec"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (RuntimeError("Failed to find C compiler. Please specify via CC environment"), GCC),
        (RuntimeError("Triton Error [CUDA]: device kernel image is invalid"), "no kernel here"),
        (CalledProcessError(1, ["gcc", "main.c"]), GCC),
        (FileNotFoundError(2, "No such file or directory: 'nocc'"), GCC),
        (AssertionError("libcuda.so cannot found!"), "no kernel here"),
        (ImportError("cuda_utils.so: failed to map segment"), EXEC),
        (PTXASError("unsupported .version 9.0"), "no kernel here"),
        (OutOfResources(232448, 101376, "shared memory"), "no kernel here"),
    ],
    ids=repr,
)
def test_where_triton_can_make_none_transformers_serves_and_the_log_says_why(
    on_card: Any, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str
) -> None:
    monkeypatch.setattr("serve_app.engine.gpu.kernels.swiglu.swiglu", raising(error))
    assert runners.runner_for(on_card, EngineSettings()) == "modules"
    (line,) = lines.getvalue().splitlines()
    assert "kernels_unused" in line
    assert f"{remedy} ({type(error).__name__}: {error}" in line


def raising(error: Exception) -> Any:
    def failing(_: Tensor) -> Tensor:
        raise error

    return failing


def test_a_card_without_memory_ends_the_start_for_no_runner_would_find_any(
    on_card: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = torch.OutOfMemoryError("CUDA out of memory")
    monkeypatch.setattr("serve_app.engine.gpu.kernels.swiglu.swiglu", raising(error))
    with pytest.raises(torch.OutOfMemoryError):
        runners.runner_for(on_card, EngineSettings())


def test_keys_and_values_in_8_bits_are_refused_where_the_kernels_cannot_be_used(
    on_card: Any,
) -> None:
    on_card.config.hidden_act = "gelu"
    with pytest.raises(BadSettings, match="hidden_act is gelu, not silu"):
        runners.runner_for(on_card, EngineSettings(kv_dtype="fp8"))


class Two:
    """A rank beside another, which says whether it has a reason."""

    def __init__(self, *, other: bool) -> None:
        self._other = other

    def total(self, part: Tensor) -> Tensor:
        return part + float(self._other)


@pytest.mark.parametrize(("other", "runner"), [(True, "modules"), (False, "kernels")])
def test_ranks_compute_alike(on_card: Any, lines: io.StringIO, *, other: bool, runner: str) -> None:
    ranks: Any = Two(other=other)
    assert runners.runner_for(on_card, EngineSettings(), ranks) == runner
    assert ("another rank" in lines.getvalue()) is other


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
