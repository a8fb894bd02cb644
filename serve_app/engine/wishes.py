"""From what a request wishes of its tokens to the choice that decides them."""

import secrets
from collections.abc import Collection, Iterator
from collections.abc import Sequence as Many
from typing import Protocol, TypeVar

from serve_app.engine.choice import Choice
from serve_app.errors import InvalidRequest
from serve_app.messages import Sampling

Number = TypeVar("Number", int, float)


class Words(Protocol):
    """What a vocabulary has tokens for."""

    def check(self, ids: Many[int], param: str) -> Many[int]:
        """Raise InvalidRequest, with `param`, unless all are in the vocabulary."""
        ...

    def spellings(self, word: str) -> list[list[int]]:
        """The ways to write a word within a text; raises InvalidRequest."""
        ...


class Wishes:
    """Knows the vocabulary, and what the model's own generation config says of sampling."""

    def __init__(self, words: Words, defaults: Sampling) -> None:
        self._words = words
        self._defaults = defaults

    def choice(self, sampling: Sampling, end_ids: frozenset[int]) -> Choice:
        """Raise InvalidRequest for tokens that there are not, or if none may be drawn."""
        ours = self._defaults
        self._check(sampling)
        held_back = end_ids if sampling.min_tokens else frozenset[int]()
        _check_any_is_left(sampling.allowed_token_ids, held_back)
        return Choice(
            temperature=_first(sampling.temperature, ours.temperature, 1.0),
            top_p=_first(sampling.top_p, ours.top_p, 1.0),
            seed=secrets.randbits(64) if sampling.seed is None else sampling.seed,
            top_k=_first(sampling.top_k, ours.top_k, 0),
            min_p=sampling.min_p,
            repetition_penalty=_first(sampling.repetition_penalty, ours.repetition_penalty, 1.0),
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            logit_bias=sampling.logit_bias,
            min_tokens=sampling.min_tokens,
            held_back=held_back,
            logprobs=sampling.logprobs,
            prompt_logprobs=sampling.prompt_logprobs,
            banned=tuple(self._banned(sampling.bad_words)),
            allowed=sampling.allowed_token_ids,
        )

    def _check(self, sampling: Sampling) -> None:
        self._words.check([token for token, _ in sampling.logit_bias], "logit_bias")
        self._words.check(sampling.stop_token_ids, "stop_token_ids")
        self._words.check(sampling.allowed_token_ids, "allowed_token_ids")

    def _banned(self, words: Many[str]) -> Iterator[tuple[int, ...]]:
        yield from (tuple(ids) for word in words for ids in self._words.spellings(word))


def _check_any_is_left(allowed: Many[int], held_back: Collection[int]) -> None:
    if allowed and not set(allowed) - set(held_back):
        raise InvalidRequest(
            "'allowed_token_ids' are all ends of the answer, which 'min_tokens' holds back;"
            " allow another or leave 'min_tokens' out.",
            "allowed_token_ids",
        )


def _first(*wishes: Number | None) -> Number:
    """The first that is stated; the last always is."""
    return next(wish for wish in wishes if wish is not None)
