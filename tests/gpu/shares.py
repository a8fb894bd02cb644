"""A rank's share of GLM-4-9B's shape with random weights, and a runner for one card or several."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GlmConfig, GlmForCausalLM

from serve_app.engine.crew import NOBODY, Crew
from serve_app.engine.flight import Runner
from serve_app.engine.leading import LeadingRunner
from serve_app.engine.limits import Limits
from serve_app.engine.runners import runner_for
from serve_app.followers import Followers
from serve_app.models.blueprint import Architecture
from serve_app.models.shares import Share
from serve_app.settings import EngineSettings, ReplicaSettings, Settings
from tests.gpu import shape


@dataclass(frozen=True)
class Random:
    """Builds shares of a model with so many layers, or of a tiny one on the CPU."""

    layers: int
    tiny: bool = False

    def __call__(self, settings: Settings, rank: int) -> Any:
        share = Share(rank, settings.engine.tensor_parallel)
        config = shape.tiny() if self.tiny else shape.config(self.layers)
        whole = Architecture("glm", config.to_dict())
        torch.manual_seed(rank)
        where = (torch.float32, "cpu") if self.tiny else (torch.bfloat16, "cuda")
        with shape.made_in(*where):
            model: Any = GlmForCausalLM(GlmConfig.from_dict(dict(share.of(whole).fields)))
            words = shape.WORDS // share.ranks
            model.lm_head = torch.nn.Linear(model.config.hidden_size, words, bias=False)
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
    ready = begin(Random(layers), settings)
    try:
        yield ready
    finally:
        ready.crew.dismiss()


def begin(build: Random, settings: Settings) -> Prepared:
    """In this process and in one for each further rank; who gets it dismisses the crew."""
    engine = settings.engine
    if engine.tensor_parallel == 1:
        runner = runner_for(build(settings, 0), engine)
        return Prepared(runner, NOBODY, engine, shape.CONTEXT)
    crew = Followers(settings, build)
    try:
        model = build(settings, 0)
        runner = runner_for(model, engine, crew.meet(model))
    except BaseException:
        crew.dismiss()
        raise
    leading = LeadingRunner(runner, crew, Limits.of(engine))
    return Prepared(leading, crew, engine, shape.CONTEXT)
