"""From a loaded model to an engine: the parts that fit it, put together."""

from collections.abc import Collection
from typing import Any

from serve_app.engine.crew import NOBODY, Crew
from serve_app.engine.engine import Engine
from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.grammars import Grammars
from serve_app.engine.leading import LeadingRunner
from serve_app.engine.limits import Limits
from serve_app.engine.nameplate import nameplate
from serve_app.engine.ranks import ALONE, Ranks
from serve_app.engine.runners import runner_for
from serve_app.engine.tokenizer import ChatTokenizer, FastTokenizer
from serve_app.messages import Sampling
from serve_app.settings import EngineSettings


def assemble(
    *,
    model: Any,
    tokenizer: FastTokenizer,
    settings: EngineSettings,
    context_tokens: int,
    eos_ids: Collection[int],
    defaults: Sampling,
    ranks: Ranks = ALONE,
    crew: Crew = NOBODY,
) -> Engine:
    """Raises BadModel if the tokenizer is not safe to serve."""
    chat = ChatTokenizer(tokenizer)
    ours = nameplate(model, settings)
    runner = runner_for(model, settings, ranks)
    alone = ranks is ALONE
    return Engine(
        runner=runner if alone else LeadingRunner(runner, crew, Limits.of(settings)),
        nameplate={**ours, **runner.nameplate},
        tokenizer=chat,
        grammars=_grammars(chat, eos_ids, settings),
        settings=settings,
        context_tokens=context_tokens,
        eos_ids=eos_ids,
        defaults=defaults,
        crew=crew,
    )


def _grammars(
    tokenizer: ChatTokenizer, eos_ids: Collection[int], settings: EngineSettings
) -> Grammars:
    known = tokenizer.vocabulary
    alphabet = Alphabet(known.token_bytes, known.control.values(), eos_ids)
    return Grammars(alphabet, settings.structure_max_bytes, settings.structure_compile_s)
