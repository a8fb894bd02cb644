"""A rank's share of GLM-4-9B's shape with random weights, and a runner for one card or several."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GlmConfig, GlmForCausalLM

from serve_app.engine.crew import NOBODY, Crew
from serve_app.engine.flight import Runner
from serve_app.engine.gpu.runner import GpuRunner
from serve_app.engine.leading import LeadingRunner
from serve_app.engine.limits import Limits
from serve_app.followers import Followers
from serve_app.models.blueprint import Architecture
from serve_app.models.shares import Share
from serve_app.settings import EngineSettings, ReplicaSettings, Settings
from tests.gpu import shape


@dataclass(frozen=True)
class Random:
    """Builds shares of a model with so many layers."""

    layers: int

    def __call__(self, settings: Settings, rank: int) -> Any:
        share = Share(rank, settings.engine.tensor_parallel)
        whole = Architecture("glm", shape.config(self.layers).to_dict())
        torch.manual_seed(rank)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            with torch.device("cuda"):
                model: Any = GlmForCausalLM(GlmConfig.from_dict(dict(share.of(whole).fields)))
                words = shape.WORDS // share.ranks
                model.lm_head = torch.nn.Linear(model.config.hidden_size, words, bias=False)
        finally:
            torch.set_default_dtype(before)
        return model.eval()


@dataclass(frozen=True)
class Prepared:
    """A runner, and who computes beside it."""

    runner: Runner
    crew: Crew
    settings: EngineSettings
    context_tokens: int


@contextmanager
def prepared(layers: int, cards: int) -> Iterator[Prepared]:
    """Ready to compute on so many cards; nothing is left afterwards."""
    engine = shape.settings(tensor_parallel=cards)
    settings = Settings(engine=engine, replicas=ReplicaSettings(model_gpus=cards))
    build = Random(layers)
    if cards == 1:
        model = build(settings, 0)
        yield Prepared(GpuRunner(model, engine), NOBODY, engine, shape.CONTEXT)
        return
    crew = Followers(settings, build)
    try:
        model = build(settings, 0)
        runner = GpuRunner(model, engine, crew.meet(model))
        leading = LeadingRunner(runner, crew, Limits.of(engine))
        yield Prepared(leading, crew, engine, shape.CONTEXT)
    finally:
        crew.dismiss()
