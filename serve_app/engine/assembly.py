"""From a loaded model to an engine: the parts that fit it, put together."""

from collections.abc import Collection
from typing import Any

from serve_app.engine.engine import Engine
from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.grammars import Grammars
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
) -> Engine:
    """Raises BadModel if the tokenizer is not safe to serve."""
    chat = ChatTokenizer(tokenizer)
    return Engine(
        runner=runner_for(model, settings),
        tokenizer=chat,
        grammars=_grammars(chat, eos_ids, settings),
        settings=settings,
        context_tokens=context_tokens,
        eos_ids=eos_ids,
        defaults=defaults,
    )


def _grammars(
    tokenizer: ChatTokenizer, eos_ids: Collection[int], settings: EngineSettings
) -> Grammars:
    known = tokenizer.vocabulary
    alphabet = Alphabet(known.token_bytes, known.control.values(), eos_ids)
    return Grammars(alphabet, settings.structure_max_bytes, settings.structure_compile_s)
