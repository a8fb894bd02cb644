"""7. From settings to an engine: the model's rooms and the engine's brought together."""

import time
from typing import TYPE_CHECKING, Any

from serve_app.followers import Followers
from serve_app.messages import Sampling
from serve_app.settings import Settings
from serve_app.telemetry import log

if TYPE_CHECKING:
    from serve_app.engine.engine import Engine
    from serve_app.models.load import LoadedModel


def load_engine(settings: Settings) -> "Engine":
    """Verify and load the model of `settings` and say what computes; raises CannotStart."""
    begun_s = time.monotonic()
    engine = _engine(settings)
    taken_s = round(time.monotonic() - begun_s, 1)
    told = {"model": settings.model.name, **engine.nameplate, "duration_s": taken_s}
    log().info("engine_ready", **told)
    return engine


def _engine(settings: Settings) -> "Engine":
    from serve_app.models.load import load

    if settings.engine.tensor_parallel == 1:
        return _assembled(load(settings), settings)
    crew = Followers(settings)
    try:
        loaded = load(settings)
        return _assembled(loaded, settings, ranks=crew.meet(loaded.model), crew=crew)
    except BaseException:
        crew.dismiss()
        raise


def _assembled(loaded: "LoadedModel", settings: Settings, **ranks: Any) -> "Engine":
    from serve_app.engine import assembly

    said = loaded.defaults
    return assembly.assemble(
        model=loaded.model,
        tokenizer=loaded.tokenizer,
        settings=settings.engine,
        context_tokens=loaded.context_tokens,
        eos_ids=said.eos_ids,
        defaults=Sampling(
            said.temperature,
            said.top_p,
            top_k=said.top_k,
            repetition_penalty=said.repetition_penalty,
        ),
        **ranks,
    )
