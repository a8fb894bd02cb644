"""The engine around a benchmark's runner."""

from collections.abc import Collection

from serve_app.engine.crew import NOBODY, Crew
from serve_app.engine.engine import Engine
from serve_app.engine.flight import Runner
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.settings import EngineSettings
from tests.gpu import tokens


def engine_of(
    runner: Runner,
    settings: EngineSettings,
    context_tokens: int,
    *,
    known: ChatTokenizer | None = None,
    eos_ids: Collection[int] = (),
    crew: Crew = NOBODY,
) -> Engine:
    """Texts are of made-up words unless a tokenizer is known."""
    known = known or tokens.tokenizer()
    return Engine(
        runner=runner,
        tokenizer=known,
        grammars=tokens.grammars(known, settings),
        settings=settings,
        context_tokens=context_tokens,
        eos_ids=eos_ids,
        crew=crew,
    )
