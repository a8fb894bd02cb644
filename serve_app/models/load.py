"""From a name to a model in memory: find, verify, plan, load; nothing comes from the network."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from serve_app.errors import BadModel
from serve_app.models import blueprint, catalogue, defaults, manifest
from serve_app.models.catalogue import ModelFolder
from serve_app.models.defaults import GenerationDefaults
from serve_app.models.device import plan_memory, refuse_unless_there
from serve_app.models.fill import fill
from serve_app.models.plan import Placement, place, refuse_unless_fits
from serve_app.models.precision import precision
from serve_app.models.shares import Share
from serve_app.models.skeleton import skeleton
from serve_app.models.tokenizer import read_tokenizer, token_id
from serve_app.settings import Settings
from serve_app.telemetry import log


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A verified model in memory, in eval mode on its device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    defaults: GenerationDefaults
    context_tokens: int


def load(settings: Settings) -> LoadedModel:
    """Load the first rank's share; raises BadModel or BadSettings before memory is taken.

    May run in a thread while another model serves: nothing of the process is changed meanwhile.
    """
    folder = catalogue.find(settings.model)
    manifest.verify(folder.path, settings.model.public_key)
    placement = place(settings.model, cuda_available=torch.cuda.is_available())
    refuse_unless_there(settings.engine.tensor_parallel, placement)
    built = blueprint.architecture(folder.path)
    context_tokens = _context_tokens(folder)
    tokenizer = read_tokenizer(folder.path)
    wishes = defaults.defaults(folder.path, built, partial(token_id, tokenizer))
    plan = plan_memory(folder, placement, settings)
    log().info("memory_plan", model=folder.card.name, detail=plan.told(placement.device))
    refuse_unless_fits(plan, placement.device)
    model = _share(folder, placement, settings, rank=0)
    return LoadedModel(model, tokenizer, wishes, context_tokens)


def load_share(settings: Settings, rank: int) -> Any:
    """Load another rank's share of a model that `load` found whole; to the current device."""
    placement = place(settings.model, cuda_available=torch.cuda.is_available())
    return _share(catalogue.find(settings.model), placement, settings, rank)


def _share(folder: ModelFolder, placement: Placement, settings: Settings, rank: int) -> Any:
    built = blueprint.architecture(folder.path)
    held = precision(placement.dtype, settings.model.quantization, built.fields)
    share = Share(rank, settings.engine.tensor_parallel)
    sources = share.sources(blueprint.sources(folder.path, built), built)
    model = skeleton(share.of(built), held, sources)
    fill(model, sources, held, torch.device(placement.device))
    return model


def _context_tokens(folder: ModelFolder) -> int:
    promised = folder.manifest.context_tokens
    positions = folder.work_shape().max_position_embeddings
    if promised > positions:
        raise BadModel(
            f"The manifest in {folder.path} promises {promised} context tokens, "
            f"but the model has positions for {positions}."
        )
    return promised
