"""Random GLMs of a few kilobytes and a byte-level tokenizer with GLM-4's special tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from serve_app.engine.engine import Engine
from serve_app.engine.flight import Runner
from serve_app.engine.tokenizer import ChatTokenizer
from serve_app.settings import EngineSettings
from tests.engine.parts import (
    CONTEXT,
    FAMILIES,
    SPECIAL,
    TEMPLATE,
    Late,
    Start,
    Twins,
    build,
    grammars_of,
    is_idle,
)

torch.set_num_threads(1)


@pytest.fixture(scope="session", params=list(FAMILIES))
def twins(request: pytest.FixtureRequest) -> Twins:
    """The same weights twice: for the engine and for transformers' own generate."""
    return Twins(*(build(request.param, torch.float32) for _ in range(2)))


@pytest.fixture(scope="session")
def precise_twins() -> Twins:
    """In float64 no two logits are so close that the order of sums decides."""
    return Twins(*(build("glm", torch.float64) for _ in range(2)))


@pytest.fixture(scope="session")
def fast_tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token; some pairs are merged, line feeds and Chinese among them."""
    alphabet = sorted(ByteLevel.alphabet())
    merges = [("Ċ", "Ċ"), ("h", "e"), ("l", "l"), ("he", "ll"), ("ä", "½"), ("ä½", "ł"), ("Ġ", "a")]
    tokens = [*alphabet, *(left + right for left, right in merges)]
    tokenizer = Tokenizer(BPE({token: n for n, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    special = partial(AddedToken, special=True, normalized=False)
    tokenizer.add_special_tokens([special(token) for token in SPECIAL])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=TEMPLATE)


@pytest.fixture(scope="session")
def chat_tokenizer(fast_tokenizer: PreTrainedTokenizerFast) -> ChatTokenizer:
    return ChatTokenizer(fast_tokenizer)


@pytest.fixture(params=[lambda runner: runner, Late], ids=["at once", "late"])
def start(request: pytest.FixtureRequest, chat_tokenizer: ChatTokenizer) -> Start:
    """Run an engine; however its requests end, all pages are free afterwards."""

    @asynccontextmanager
    async def running(
        runner: Runner, chosen: EngineSettings, eos_ids: tuple[int, ...] = ()
    ) -> AsyncIterator[Engine]:
        engine = Engine(
            runner=request.param(runner),
            tokenizer=chat_tokenizer,
            grammars=grammars_of(chat_tokenizer, chosen),
            settings=chosen,
            context_tokens=CONTEXT,
            eos_ids=eos_ids,
        )
        engine.start()
        try:
            yield engine
        finally:
            await engine.stop()
        assert is_idle(engine.stats())
        engine._scheduler.blocks.check()

    return running
