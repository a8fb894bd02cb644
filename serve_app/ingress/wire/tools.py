"""The tools an answer may call, and whether it must."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, FailFast, Field, StringConstraints

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire.strict import Wire, as_json
from serve_app.messages import Tool, ToolChoice, ToolMode

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]  # OpenAI's rule


class Function(Wire):
    """What can be called; `parameters` is a JSON schema."""

    name: Name
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    strict: bool = False


class Offer(Wire):
    """One entry of `tools`."""

    type: Literal["function"]
    function: Function


@dataclass(frozen=True, slots=True)
class Allowed:
    """OpenAI's `allowed_tools`: some of those that are offered."""

    mode: ToolMode
    names: tuple[str, ...]


def _choice(choice: Any) -> ToolMode | Allowed | str:
    """A mode, the tools that may be called, or the name of the one to call."""
    match choice:
        case "none" | "auto" | "required":
            return ToolMode(choice)
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*some]}} if some:
            return Allowed(_mode(mode), tuple(map(_named, some)))
        case _:
            return _named(choice)


def _mode(mode: Any) -> ToolMode:
    if mode not in {"auto", "required"}:
        raise ValueError
    return ToolMode(mode)


def _named(choice: Any) -> str:
    match choice:
        case {"type": "function", "function": {"name": str(name)}} if len(choice) == 2:  # noqa: PLR2004 -- no other keys
            return str(name)
        case _:
            raise ValueError


class ToolFields(Wire):
    """What a chat request may say about tools."""

    tools: Annotated[list[Offer], FailFast(), Field(max_length=128)] = Field(default_factory=list)
    tool_choice: Annotated[Any, AfterValidator(_choice)] = None
    parallel_tool_calls: bool = True


def tools(fields: ToolFields) -> tuple[Tool, ...]:
    """The tools in the order in which they are offered; raises InvalidRequest."""
    names: set[str] = set()
    for place, offer in enumerate(fields.tools):
        if offer.function.name in names:
            param = f"tools[{place}].function.name"
            raise InvalidRequest(f"'{param}' is taken by a tool before it; rename one.", param)
        names.add(offer.function.name)
    return tuple(_tool(place, offer.function) for place, offer in enumerate(fields.tools))


def _tool(place: int, function: Function) -> Tool:
    return Tool(
        name=function.name,
        description=function.description,
        parameters=as_json(function.parameters, f"tools[{place}].function.parameters"),
        strict=function.strict,
    )


def tool_choice(fields: ToolFields) -> ToolChoice:
    """Raises InvalidRequest where it asks for a call that no tool can answer."""
    wish = fields.tool_choice or ToolMode.AUTO
    if isinstance(wish, ToolMode):
        if wish is ToolMode.REQUIRED and not fields.tools:
            raise InvalidRequest("'tool_choice' needs 'tools'; offer at least one.", "tool_choice")
        return ToolChoice(wish, parallel=fields.parallel_tool_calls)
    offered = {offer.function.name for offer in fields.tools}
    if isinstance(wish, Allowed):
        for name in wish.names:
            _check_offered(name, offered)
        return ToolChoice(wish.mode, allowed=wish.names, parallel=fields.parallel_tool_calls)
    _check_offered(wish, offered)
    return ToolChoice(ToolMode.REQUIRED, wish, parallel=fields.parallel_tool_calls)


def _check_offered(name: str, offered: Collection[str]) -> None:
    if not offered:
        raise InvalidRequest("'tool_choice' needs 'tools'; offer at least one.", "tool_choice")
    if name not in offered:
        raise InvalidRequest(
            "'tool_choice' names a tool that is not in 'tools'; offer it or choose another.",
            "tool_choice",
        )
