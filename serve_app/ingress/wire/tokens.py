"""POST /tokenize and /detokenize, as vLLM has them."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import FailFast, Field

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire import conversation, strict
from serve_app.ingress.wire.ending import EndingFields, ending
from serve_app.ingress.wire.order import Envelope
from serve_app.ingress.wire.sampling import TokenId
from serve_app.ingress.wire.strict import Wire, only
from serve_app.ingress.wire.thinking import ThinkingFields, thinking
from serve_app.ingress.wire.tools import ToolFields, tool_choice, tools
from serve_app.messages import ChatRequest, CompletionRequest, Request, Sampling


class ToTokenise(ThinkingFields, ToolFields, EndingFields):
    """A chat or a text, the one or the other."""

    model: str = ""  # left out by clients of vLLM: the one that is served
    prompt: Annotated[str, Field(min_length=1)] | None = None
    messages: Annotated[list[conversation.Turn], FailFast()] = Field(default_factory=list)
    add_special_tokens: bool | None = None
    return_token_strs: bool = False
    chat_template: Annotated[Any, only()] = None
    documents: Annotated[Any, only([])] = None
    mm_processor_kwargs: Annotated[Any, only({})] = None

    sentences: ClassVar[Mapping[str, str]] = {"add_special_tokens": "true or false"}


class ToSpell(Wire):
    """Tokens of which the text is wanted."""

    model: str = ""
    tokens: Annotated[list[TokenId], FailFast(), Field(min_length=1)]


def to_tokenise(body: bytes, envelope: Envelope) -> tuple[Request, bool]:
    """The request whose prompt is wanted as tokens, and whether they are to be written out.

    Raises InvalidRequest.
    """
    fields = strict.parse(ToTokenise, body)
    _check(fields)
    return _request(fields, envelope), fields.return_token_strs


def _request(fields: ToTokenise, envelope: Envelope) -> Request:
    if fields.prompt is not None:
        return CompletionRequest(
            envelope.request_id,
            fields.model,
            fields.prompt,
            Sampling(),
            has_prefix=fields.add_special_tokens is not False,
        )
    return ChatRequest(
        envelope.request_id,
        fields.model,
        conversation.messages(fields.messages),
        Sampling(),
        tools=tools(fields),
        tool_choice=tool_choice(fields),
        thinking=thinking(fields),
        ending=ending(fields),
    )


def _check(fields: ToTokenise) -> None:
    has_prompt, has_messages = fields.prompt is not None, "messages" in fields.model_fields_set
    if has_prompt is has_messages:
        raise InvalidRequest("Send either 'prompt' or 'messages', not both.", "prompt")
    if has_messages and not fields.messages:
        raise InvalidRequest("'messages' must be a list of at least one message.", "messages")
    if has_messages and fields.add_special_tokens:
        raise InvalidRequest(
            "'add_special_tokens' must be left out or false for 'messages': the chat template"
            " writes them itself.",
            "add_special_tokens",
        )


def to_spell(body: bytes) -> tuple[str, tuple[int, ...]]:
    """The model, and the tokens it shall spell; raises InvalidRequest."""
    fields = strict.parse(ToSpell, body)
    return fields.model, tuple(fields.tokens)
