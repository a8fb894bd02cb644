"""What was said: messages in OpenAI's format, as GLM's roles."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, FailFast, Field

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire.strict import Wire, only
from serve_app.ingress.wire.tools import Name
from serve_app.messages import Message, Role, ToolCall

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.OBSERVATION,
}


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class TextPart(Wire):
    """A piece of a message's text."""

    type: Literal["text"]
    text: str


class CalledFunction(Wire):
    """What an assistant called."""

    name: Name
    arguments: str


class Call(Wire):
    """One call of an assistant's message."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Any = None  # left over from a streamed answer

    def unwrapped(self, param: str) -> ToolCall:
        arguments = self.function.arguments.strip() or "{}"  # some clients send nothing for none
        if not _is_object(arguments):
            raise InvalidRequest(
                f"'{param}.function.arguments' must be the text of a JSON object.",
                f"{param}.function.arguments",
            )
        return ToolCall(self.id, self.function.name, arguments)


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


class Turn(Wire):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        list[TextPart], FailFast(), Field(min_length=1), BeforeValidator(_as_parts)
    ] = Field(default_factory=list)
    reasoning_content: str | None = None
    reasoning: str | None = None  # vLLM's name
    tool_calls: Annotated[list[Call], FailFast(), Field(max_length=128)] = Field(
        default_factory=list
    )
    tool_call_id: str | None = None
    # Sent along by clients that hand an answer back, or name who speaks; GLM has no place for it.
    name: Any = None
    refusal: Any = None
    annotations: Any = None
    function_call: Annotated[Any, only()] = None
    audio: Annotated[Any, only()] = None

    def unwrapped(self, param: str) -> Message:
        self._check(param)
        return Message(
            role=_ROLES[self.role],
            content="\n".join(part.text for part in self.content),
            reasoning=self.reasoning_content or self.reasoning or "",
            tool_calls=tuple(
                call.unwrapped(f"{param}.tool_calls[{place}]")
                for place, call in enumerate(self.tool_calls)
            ),
            tool_call_id=self.tool_call_id if self.role == "tool" else None,
        )

    def _check(self, param: str) -> None:
        if not self.content and not self.tool_calls:
            raise InvalidRequest(
                f"'{param}.content' must be a string or a list of at least one text part;"
                " only an assistant's message with 'tool_calls' may lack it.",
                f"{param}.content",
            )
        for name in ("tool_calls", "reasoning_content", "reasoning"):
            if self.role != "assistant" and getattr(self, name):
                raise InvalidRequest(
                    f"'{param}.{name}' belongs to an assistant's message; leave it out here.",
                    f"{param}.{name}",
                )


def messages(turns: list[Turn]) -> tuple[Message, ...]:
    """The conversation as the model's roles; raises InvalidRequest."""
    said = tuple(turn.unwrapped(f"messages[{place}]") for place, turn in enumerate(turns))
    _check_observations(said)
    return said


def _check_observations(said: Iterable[Message]) -> None:
    """What a tool says answers a call before it; one without an id, any of them."""
    called: set[str] = set()
    for place, message in enumerate(said):
        called.update(call.id for call in message.tool_calls)
        if message.role is not Role.OBSERVATION:
            continue
        if not called or message.tool_call_id not in {None, *called}:
            param = f"messages[{place}].tool_call_id"
            raise InvalidRequest(
                f"'{param}' must be the id of a call that an assistant's message before it made"
                " in 'tool_calls'.",
                param,
            )
