"""Grammars of glm-nano, and ways through them."""

import asyncio
import random
from collections.abc import Iterable
from functools import cache

import numpy as np
from tokenizers import Tokenizer

from serve_app.engine.dialects.vocabulary import Vocabulary
from serve_app.engine.grammar.alphabet import Alphabet
from serve_app.engine.grammar.form import Form, Opening, Part
from serve_app.engine.grammar.grammars import Grammars
from serve_app.engine.grammar.matcher import Matcher
from serve_app.messages import Structure, StructureKind
from serve_app.models import catalogue
from serve_app.settings import ModelSettings

ENDS = (0, 7, 9)
CLOSERS = (b'"', b"}", b"]")  # a string ends before its object, and an object before its array


@cache
def nano() -> Vocabulary:
    folder = catalogue.find(ModelSettings()).path
    return Vocabulary(Tokenizer.from_file(str(folder / "tokenizer.json")))


@cache
def nano_alphabet() -> Alphabet:
    return Alphabet(nano().token_bytes, nano().control.values(), ENDS)


class Room:
    """Grammars that are waited for."""

    def __init__(self, max_bytes: int = 65_536, compile_s: float = 20.0) -> None:
        self.grammars = Grammars(nano_alphabet(), max_bytes, compile_s)

    def matcher(self, form: Form) -> Matcher:
        matcher = asyncio.run(self.grammars.compile(form))
        assert matcher
        return matcher

    def content(
        self, kind: StructureKind, source: str = "", opening: Opening | None = None
    ) -> Matcher:
        return self.matcher(Form(Structure(kind, source), opening=opening or Opening()))


def encode(*parts: Part) -> list[int]:
    """As the model's own tokenizer would."""
    ids: list[int] = []
    for part in parts:
        ids += [part] if isinstance(part, int) else nano().encode([part])[0]
    return ids


def allowed(matcher: Matcher) -> list[int]:
    row = np.full(len(nano().token_bytes) // 32, -1, dtype=np.int32)
    matcher.allow(row)
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def takes(matcher: Matcher, tokens: Iterable[int]) -> bool:
    """Whether the tokens may come one after the other; mask and acceptance have to agree."""
    for token in tokens:
        may = token in allowed(matcher)
        try:
            matcher.accept(token)
        except ValueError:
            assert not may
            return False
        assert may
    return True


def takes_whole(matcher: Matcher, *parts: Part) -> bool:
    """Whether the parts are a whole answer."""
    fork = matcher.fork()
    return takes(fork, encode(*parts)) and set(ENDS) <= set(allowed(fork))


def walk(matcher: Matcher, seed: int, steps: int = 60, most: int = 4_000) -> bytes:
    """Any answer: tokens at random, and after so many steps the shortest way out."""
    chance, said = random.Random(seed), b""
    for step in range(most):
        tokens = allowed(matcher)
        if matcher.finished:
            assert set(tokens) == set(ENDS)
        if set(ENDS) & set(tokens) and (step >= steps or chance.random() < 0.1):
            matcher.accept(chance.choice(ENDS))
            assert matcher.finished
            return said
        spoken = [token for token in tokens if token not in ENDS]
        token = _closer(spoken) if step >= steps else None
        token = chance.choice(spoken or tokens) if token is None else token
        matcher.accept(token)
        said += nano().token_bytes[token]
        if matcher.finished and not spoken:
            return said
    raise AssertionError("The answer does not end.")


def _closer(tokens: list[int]) -> int | None:
    by_text = {nano().token_bytes[token]: token for token in tokens}
    return next((by_text[text] for text in CLOSERS if text in by_text), None)
