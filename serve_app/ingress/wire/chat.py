"""POST /v1/chat/completions: a body as a request."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import FailFast, Field

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire import conversation, strict
from serve_app.ingress.wire.ending import EndingFields, ending, speaker
from serve_app.ingress.wire.handling import HandlingFields, handling
from serve_app.ingress.wire.neutral import NeutralInChat
from serve_app.ingress.wire.order import Envelope, Order, OrderFields, travel, urgency
from serve_app.ingress.wire.sampling import Alternatives, SamplingFields, Tokens, sampling
from serve_app.ingress.wire.structure import StructureFields, structure
from serve_app.ingress.wire.thinking import ThinkingFields, thinking
from serve_app.ingress.wire.tools import ToolFields, tool_choice, tools
from serve_app.messages import ChatRequest, Ending, Sampling, ToolMode


class Chat(
    OrderFields,
    SamplingFields,
    StructureFields,
    ToolFields,
    ThinkingFields,
    HandlingFields,
    EndingFields,
    NeutralInChat,
):
    """The body."""

    messages: Annotated[list[conversation.Turn], FailFast(), Field(min_length=1)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    logprobs: bool = False
    top_logprobs: Alternatives | None = None
    echo: bool = False
    include_reasoning: bool = True

    sentences: ClassVar[Mapping[str, str]] = {
        "logprobs": "true or false; 'top_logprobs' says how many"
    }


def chat(body: bytes, envelope: Envelope) -> Order:
    """Raises InvalidRequest with one sentence about the first fault."""
    fields = strict.parse(Chat, body)
    request = _request(fields, envelope)
    if request.structure and request.tool_choice.mode is ToolMode.REQUIRED:
        raise InvalidRequest(
            "An answer that must call a tool has no text to give a shape to;"
            " leave 'tool_choice' or the shape out.",
            "tool_choice",
        )
    last = request.messages[-1]
    role = speaker(request.ending, last)
    return Order(
        envelope,
        (request,),
        travel(fields, stream=fields.stream, tells_thoughts=fields.include_reasoning),
        answer_id=fields.request_id or envelope.request_id,
        role=role,
        echo=last.content if fields.echo and speaker(Ending.NOTHING, last) == role else "",
    )


def _request(fields: Chat, envelope: Envelope) -> ChatRequest:
    return ChatRequest(
        request_id=envelope.request_id,
        model=fields.model,
        messages=conversation.messages(fields.messages),
        sampling=_sampling(fields),
        caller=envelope.caller,
        tools=tools(fields),
        tool_choice=tool_choice(fields),
        structure=structure(fields),
        thinking=thinking(fields),
        urgency=urgency(fields, envelope),
        handling=handling(fields),
        ending=ending(fields),
    )


def _sampling(fields: Chat) -> Sampling:
    return sampling(
        fields,
        max_tokens=_max_tokens(fields),
        logprobs=_logprobs(fields),
        prompt_logprobs=fields.prompt_logprobs,
    )


def _max_tokens(fields: Chat) -> int | None:
    old, new = fields.max_tokens, fields.max_completion_tokens
    if old is not None and new is not None and old != new:
        raise InvalidRequest(
            "'max_tokens' and 'max_completion_tokens' differ; send one of them.", "max_tokens"
        )
    return old if new is None else new


def _logprobs(fields: Chat) -> int | None:
    if fields.logprobs:
        return fields.top_logprobs or 0
    if fields.top_logprobs:
        raise InvalidRequest(
            "'top_logprobs' needs 'logprobs': true; set it or leave the number out.",
            "top_logprobs",
        )
    return None
