"""Requests in OpenAI's public format; unknown fields are refused, `null` means absent."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from serve_app.errors import InvalidRequest
from serve_app.ingress import sentences
from serve_app.messages import ChatRequest, Message, Role, Sampling

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.OBSERVATION,
}


@dataclass(frozen=True, slots=True)
class Order:
    """A chat request, and how its answer shall travel."""

    request: ChatRequest
    stream: bool
    include_usage: bool


def parse(body: bytes, request_id: str) -> Order:
    """Raises InvalidRequest with one sentence about the first fault."""
    try:
        chat = _Chat.model_validate(_json(body))
    except ValidationError as error:
        raise sentences.refusal(error) from None
    return Order(_request(chat, request_id), chat.stream, _include_usage(chat))


def _json(body: bytes) -> Any:
    """Where a name is given twice the last one counts, for guard and model alike."""
    if not body.strip():
        raise InvalidRequest("The body is empty; send a JSON object with 'model' and 'messages'.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"The body is not valid JSON at {place}: {error.msg}.") from None


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _present(cls, fields: Any) -> Any:
        """Drop nulls, and all unknown names but one: a million faults are one sentence."""
        if not isinstance(fields, dict):
            return fields
        present = {name: value for name, value in fields.items() if value is not None}
        unknown = [name for name in present if name not in cls.model_fields]
        for name in unknown[1:]:
            del present[name]
        return present


def _one_of(neutral: tuple[Any, ...], value: Any) -> Any:
    if not any(_same(value, one) for one in neutral):
        raise ValueError
    return value


def _same(value: Any, other: Any) -> bool:
    """JSON's 0 and false are equal to Python, not to us."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _only(*neutral: Any) -> AfterValidator:
    """For a field of which only the values that change nothing are taken."""
    return AfterValidator(partial(_one_of, neutral))


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class _TextPart(_Wire):
    type: Literal["text"]
    text: str


class _Message(_Wire):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[list[_TextPart], FailFast(), Field(min_length=1), BeforeValidator(_as_parts)]
    # Sent along by clients that hand an answer back, or name their tools; GLM has no place for it.
    name: Any = None
    tool_call_id: Any = None
    refusal: Any = None
    annotations: Any = None
    tool_calls: Annotated[Any, _only([])] = None
    function_call: Annotated[Any, _only()] = None
    audio: Annotated[Any, _only()] = None

    def unwrapped(self) -> Message:
        return Message(_ROLES[self.role], "\n".join(part.text for part in self.content))


class _StreamOptions(_Wire):
    include_usage: bool = False
    include_obfuscation: Any = None


_Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Stop = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=1024)]],
    FailFast(),
    Field(max_length=4),
    BeforeValidator(_as_list),
]


class _Chat(_Wire):
    model: str
    messages: Annotated[list[_Message], FailFast(), Field(min_length=1)]
    stream: bool = False
    stream_options: _StreamOptions | None = None
    # How tokens are chosen.
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    stop: _Stop = []
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    # Not supported yet: only what changes nothing is taken.
    n: Annotated[Any, _only(1)] = None
    frequency_penalty: Annotated[Any, _only(0)] = None
    presence_penalty: Annotated[Any, _only(0)] = None
    logit_bias: Annotated[Any, _only({})] = None
    logprobs: Annotated[Any, _only(False)] = None
    top_logprobs: Annotated[Any, _only(0)] = None
    tools: Annotated[Any, _only([])] = None
    tool_choice: Annotated[Any, _only("none", "auto")] = None
    functions: Annotated[Any, _only([])] = None
    function_call: Annotated[Any, _only("none", "auto")] = None
    response_format: Annotated[Any, _only({"type": "text"})] = None
    modalities: Annotated[Any, _only(["text"])] = None
    audio: Annotated[Any, _only()] = None
    prediction: Annotated[Any, _only()] = None
    web_search_options: Annotated[Any, _only()] = None
    reasoning_effort: Annotated[Any, _only("none")] = None
    verbosity: Annotated[Any, _only("medium")] = None
    # Says nothing about the answer.
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    parallel_tool_calls: Any = None


def _request(chat: _Chat, request_id: str) -> ChatRequest:
    return ChatRequest(
        request_id=request_id,
        model=chat.model,
        messages=tuple(message.unwrapped() for message in chat.messages),
        sampling=Sampling(
            temperature=chat.temperature,
            top_p=chat.top_p,
            max_tokens=_max_tokens(chat),
            stop=tuple(chat.stop),
            seed=chat.seed,
        ),
    )


def _max_tokens(chat: _Chat) -> int | None:
    old, new = chat.max_tokens, chat.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise InvalidRequest(
            "'max_tokens' and 'max_completion_tokens' differ; send one of them.", "max_tokens"
        )
    return old if new is None else new


def _include_usage(chat: _Chat) -> bool:
    if chat.stream_options is None:
        return False
    if not chat.stream:
        raise InvalidRequest(
            "'stream_options' needs 'stream': true; set it or leave the options out.",
            "stream_options",
        )
    return chat.stream_options.include_usage
