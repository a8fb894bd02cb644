"""How tokens are chosen: OpenAI's names, and vLLM's where OpenAI has none."""

from typing import Annotated, Any

from pydantic import AfterValidator, FailFast, Field, StringConstraints

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire.strict import INT64, OR_ONE, Wire
from serve_app.messages import Sampling

_MOST_BIASES = 1024
_LARGEST_BIAS = 100
_MOST_ALLOWED = 16_384  # each costs time at every token

Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
Alternatives = Annotated[int, Field(ge=0, le=20)]
_Stop = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=1024)]],
    FailFast(),
    Field(max_length=4),
    OR_ONE,
]
_BadWords = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=256)]],
    FailFast(),
    Field(max_length=128),
    OR_ONE,
]
_Allowed = Annotated[list[TokenId], FailFast(), Field(min_length=1, max_length=_MOST_ALLOWED)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]


def _biases(biases: Any) -> tuple[tuple[int, float], ...]:
    """OpenAI's map from token ids, written as strings, to what is added to their logits."""
    if not isinstance(biases, dict) or len(biases) > _MOST_BIASES:
        raise ValueError
    return tuple((_token_id(token), _bias(bias)) for token, bias in biases.items())


def _token_id(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) <= len(str(2**31))):
        raise ValueError
    return int(token)


def _bias(bias: Any) -> float:
    if isinstance(bias, bool) or not isinstance(bias, int | float) or abs(bias) > _LARGEST_BIAS:
        raise ValueError
    return float(bias)


class SamplingFields(Wire):
    """What every kind of text request may say about sampling and stopping."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    presence_penalty: _Penalty = 0.0
    frequency_penalty: _Penalty = 0.0
    logit_bias: Annotated[Any, AfterValidator(_biases)] = ()
    seed: INT64 | None = None
    n: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    min_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    ignore_eos: bool = False
    stop: _Stop = Field(default_factory=list)
    stop_token_ids: Annotated[list[TokenId], FailFast(), Field(max_length=64)] = Field(
        default_factory=list
    )
    prompt_logprobs: Alternatives | None = None
    bad_words: _BadWords = Field(default_factory=list)
    allowed_token_ids: _Allowed = Field(default_factory=list)
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    stream: bool = False


def sampling(
    fields: SamplingFields,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    prompt_logprobs: int | None,
) -> Sampling:
    """Raises InvalidRequest where fields that are well by themselves do not fit together."""
    if max_tokens is not None and fields.min_tokens > max_tokens:
        raise InvalidRequest("'min_tokens' must not be above 'max_tokens'.", "min_tokens")
    if fields.stream and fields.prompt_logprobs is not None:
        raise InvalidRequest("'prompt_logprobs' come whole; leave 'stream' out.", "prompt_logprobs")
    return Sampling(
        temperature=fields.temperature,
        top_p=fields.top_p,
        top_k=fields.top_k if fields.top_k and fields.top_k > 0 else None,  # vLLM: 0 and -1 are all
        min_p=fields.min_p,
        repetition_penalty=fields.repetition_penalty,
        presence_penalty=fields.presence_penalty,
        frequency_penalty=fields.frequency_penalty,
        logit_bias=fields.logit_bias,
        seed=fields.seed,
        n=fields.n,
        min_tokens=fields.min_tokens,
        ignore_eos=fields.ignore_eos,
        stop=tuple(fields.stop),
        stop_token_ids=tuple(fields.stop_token_ids),
        max_tokens=max_tokens,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        bad_words=tuple(fields.bad_words),
        allowed_token_ids=tuple(fields.allowed_token_ids),
        keeps_stop=fields.include_stop_str_in_output,
        hides_special=fields.skip_special_tokens,
    )
