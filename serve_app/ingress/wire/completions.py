"""POST /v1/completions: a body as one request a prompt."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire import strict
from serve_app.ingress.wire.handling import HandlingFields, handling
from serve_app.ingress.wire.neutral import Neutral
from serve_app.ingress.wire.order import Envelope, Order, OrderFields, travel, urgency
from serve_app.ingress.wire.sampling import Alternatives, SamplingFields, sampling
from serve_app.ingress.wire.strict import only
from serve_app.ingress.wire.structure import StructureFields, structure
from serve_app.messages import CompletionRequest, Sampling

DEFAULT_TOKENS = 16  # OpenAI's and vLLM's, where max_tokens is left out
_HIGHEST_ID = 2**31 - 1

Prompt = str | tuple[int, ...]


def _prompts(prompt: Any) -> tuple[Prompt, ...]:
    """One text, several, one list of token ids, or several."""
    if not isinstance(prompt, list):
        return (_prompt(prompt),)
    if not prompt:
        raise ValueError
    return (_prompt(prompt),) if isinstance(prompt[0], int) else tuple(map(_prompt, prompt))


def _prompt(prompt: Any) -> Prompt:
    if isinstance(prompt, str) and prompt:
        return prompt
    if not isinstance(prompt, list) or not prompt:
        raise ValueError
    if not all(type(token) is int and 0 <= token <= _HIGHEST_ID for token in prompt):
        raise ValueError
    return tuple(prompt)


class Completion(OrderFields, SamplingFields, StructureFields, HandlingFields, Neutral):
    """The body."""

    prompt: Annotated[Any, AfterValidator(_prompts)]
    max_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] = DEFAULT_TOKENS
    echo: bool = False
    logprobs: Alternatives | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    suffix: Annotated[Any, only("")] = None
    add_special_tokens: bool = True

    sentences: ClassVar[Mapping[str, str]] = {
        "logprobs": "a whole number from 0 to 20",
        "add_special_tokens": "true or false",
    }


def completions(body: bytes, envelope: Envelope) -> Order:
    """Raises InvalidRequest with one sentence about the first fault."""
    fields = strict.parse(Completion, body)
    _check(fields)
    shared = _sampling(fields)
    requests = tuple(
        CompletionRequest(
            request_id=_request_id(envelope, place, len(fields.prompt)),
            model=fields.model,
            prompt=prompt,
            sampling=shared,
            caller=envelope.caller,
            structure=structure(fields),
            echo=fields.echo,
            urgency=urgency(fields, envelope),
            handling=handling(fields),
            has_prefix=fields.add_special_tokens,
        )
        for place, prompt in enumerate(fields.prompt)
    )
    answer_id = fields.request_id or envelope.request_id
    return Order(envelope, requests, travel(fields, stream=fields.stream), answer_id)


def _check(fields: Completion) -> None:
    if not fields.max_tokens and not fields.echo:
        raise InvalidRequest(
            "'max_tokens' must be at least 1; 0 makes sense with 'echo': true alone.", "max_tokens"
        )
    if fields.best_of not in {None, 1, fields.n}:
        raise InvalidRequest("'best_of' must be left out, 1 or the same as 'n'.", "best_of")


def _sampling(fields: Completion) -> Sampling:
    """An echo is told with the chances that the answer is told with."""
    echoed = fields.logprobs if fields.echo else None
    stated = fields.prompt_logprobs
    return sampling(
        fields,
        max_tokens=fields.max_tokens,
        logprobs=fields.logprobs,
        prompt_logprobs=echoed if stated is None else stated,
    )


def _request_id(envelope: Envelope, place: int, prompts: int) -> str:
    return envelope.request_id if prompts == 1 else f"{envelope.request_id}-{place}"
