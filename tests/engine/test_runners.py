"""Which runner computes, and what is said where it is not the fastest."""

import io
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import torch

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


def test_keys_and_values_in_8_bits_are_for_cards_and_a_cpu_says_so(lines: io.StringIO) -> None:
    chosen = EngineSettings(kv_dtype="fp8")
    assert isinstance(runners.runner_for(build("glm", torch.float32), chosen), ModelRunner)
    assert "kv_dtype_unused" in lines.getvalue()
