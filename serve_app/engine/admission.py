"""From a request to sequences that fit, or a refusal that says what to change."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Protocol

from serve_app.engine.answer import Speller
from serve_app.engine.branch import Branch, Transcript
from serve_app.engine.choice import Choice
from serve_app.engine.grammar.form import Form
from serve_app.engine.grammar.matcher import Matcher
from serve_app.engine.sequence import Sequence
from serve_app.engine.wishes import Wishes, Words
from serve_app.errors import InvalidRequest, TooLong
from serve_app.messages import ChatRequest, Request, Sampling

LONG_TEXT = 16_384  # characters or tokens from which reading them leaves the event loop
TURN_LETTERS = 32  # characters whose encoding takes longer than rendering one more turn (10 us)
_SEEDS = 2**64
_SALT = 16  # bytes
_TAKES = {"messages": "The messages take", "prompt": "The prompt takes"}


class Tokenizer(Speller, Words, Protocol):
    """Text to tokens and back."""

    def render(self, request: Request) -> list[int]: ...

    def pieces(self, ids: Iterable[int]) -> list[str]: ...

    def about(self) -> Mapping[str, Any]: ...

    def transcript(self, request: Request) -> Transcript: ...

    def form(self, request: Request) -> Form | None: ...


class Grammars(Protocol):
    """Makes a form something that tokens can be held against."""

    async def compile(self, form: Form) -> Matcher | None:
        """Raise InvalidRequest for what no grammar can hold; None: any answer will do."""
        ...

    def close(self) -> None: ...


class Admission:
    """Checks that a request fits before any work is done; keeps no state."""

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        grammars: Grammars,
        room_tokens: int,
        end_ids: Iterable[int],
        defaults: Sampling,
        weights: Mapping[str, float],
    ) -> None:
        """Prompt and answer share `room_tokens`; `defaults` are the model's own sampling."""
        self._tokenizer = tokenizer
        self._grammars = grammars
        self._room = room_tokens
        self._end_ids = frozenset(end_ids)
        self._wishes = Wishes(tokenizer, defaults)
        self._weights = weights

    async def prepare(self, request: Request, now: float) -> list[Branch]:
        """Raise InvalidRequest or TooLong, or return what the engine computes and shows.

        The first branch leads, the others are its forks. `now` is the engine's clock.
        """
        tokens = self._shortened(request, await self.render(request))
        form = self._tokenizer.form(request)
        matcher = await self._grammars.compile(form) if form else None
        leader = self._leader(request, tokens, matcher, now)
        forks = [
            leader.fork(_reseeded(leader.choice, number), matcher and matcher.fork())
            for number in range(1, request.sampling.n)
        ]
        named = frozenset(request.sampling.stop_token_ids)
        named -= frozenset() if request.sampling.ignore_eos else self._end_ids
        return [
            Branch(number, sequence, self._tokenizer.transcript(request), named)
            for number, sequence in enumerate((leader, *forks))
        ]

    async def render(self, request: Request) -> list[int]:
        """The prompt's tokens; a long one is encoded beside the loop. Raises InvalidRequest."""
        if _letters(request) < LONG_TEXT:
            tokens = self._tokenizer.render(request)
        else:
            tokens = await asyncio.to_thread(self._tokenizer.render, request)
        if not tokens:
            raise InvalidRequest("The prompt is empty; send at least one token.", "prompt")
        return tokens

    def _leader(
        self, request: Request, tokens: list[int], matcher: Matcher | None, now: float
    ) -> Sequence:
        sampling, urgency, tenant = request.sampling, request.urgency, request.caller.tenant
        end_ids = (frozenset() if sampling.ignore_eos else self._end_ids) | frozenset(
            sampling.stop_token_ids
        )
        return Sequence(
            tokens,
            self._max_tokens(len(tokens), sampling.max_tokens, _param(request)),
            self._wishes.choice(sampling, end_ids),
            _salt(request),
            tenant=tenant,
            weight=self._weights.get(tenant, 1.0),
            priority=urgency.priority,
            deadline=None if urgency.deadline_s is None else now + urgency.deadline_s,
            end_ids=end_ids,
            matcher=matcher,
        )

    def _shortened(self, request: Request, tokens: list[int]) -> list[int]:
        """A prompt's last tokens, where its sender wants no more read."""
        wished = request.handling.last_tokens
        if wished is None:
            return tokens
        answer = request.sampling.max_tokens
        fitting = self._room - (1 if answer is None else answer)
        return tokens[-max(1, fitting if wished < 0 else wished) :]

    def _max_tokens(self, prompt_tokens: int, wished: int | None, param: str) -> int:
        """One is drawn also where none is wished: the step that reads the prompt draws it."""
        left = self._room - prompt_tokens
        if left < (0 if wished == 0 else 1):
            raise TooLong(
                f"{_TAKES[param]} {prompt_tokens} tokens; with an answer of at least one"
                f" token they must fit into {self._room}.",
                param,
            )
        if wished is not None and wished > left:
            raise TooLong(
                f"{_TAKES[param]} {prompt_tokens} tokens, so max_tokens can be {left} at most.",
                "max_tokens",
            )
        return left if wished is None else max(1, wished)


def _letters(request: Request) -> int:
    """Roughly how much there is to encode: up to 1 us each; tokens are only looked up."""
    if isinstance(request, ChatRequest):
        return sum(len(message.content) + TURN_LETTERS for message in request.messages)
    return len(request.prompt)


def _param(request: Request) -> str:
    return "messages" if isinstance(request, ChatRequest) else "prompt"


def _reseeded(choice: Choice, number: int) -> Choice:
    """The choice of a fork: as repeatable as its leader's, and another."""
    return replace(choice, seed=(choice.seed + number) % _SEEDS, prompt_logprobs=None)


def _salt(request: Request) -> bytes:
    """One a tenant: how fast an answer comes tells nobody what others asked.

    Its length is fixed, so that no tenant's name can spell the beginning of another's pages. A
    salt of the request's own parts the tenant's pages further.
    """
    salt = blake2b(request.caller.tenant.encode(), digest_size=_SALT).digest()
    own = request.handling.cache_salt.encode()
    return blake2b(own, key=salt, digest_size=_SALT).digest() if own else salt
