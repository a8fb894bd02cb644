"""What was said so far, and the tools an answer may call."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks, in GLM's words."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    OBSERVATION = "observation"  # what a tool answered; OpenAI calls it "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the assistant made it; `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; every text in it is data, never control tokens."""

    role: Role
    content: str
    reasoning: str = ""  # what an assistant thought before it spoke
    tool_calls: tuple[ToolCall, ...] = ()  # an assistant's
    tool_call_id: str | None = None  # an observation's: the call it answers


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the caller offers; `parameters` is its JSON schema as JSON text."""

    name: str
    description: str = ""
    parameters: str = "{}"
    strict: bool = False  # whether arguments must follow the schema to the letter


class ToolMode(StrEnum):
    """Whether an answer may or must call tools."""

    NONE = "none"
    AUTO = "auto"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name` narrows REQUIRED to one call of one tool, `allowed` any mode to some tools."""

    mode: ToolMode = ToolMode.AUTO
    name: str | None = None
    allowed: tuple[str, ...] = ()  # empty: all that are offered
    parallel: bool = True  # whether one answer may hold several calls

    def admits(self, tool: str) -> bool:
        """Whether that tool may be called."""
        allowed = (self.name,) if self.name is not None else self.allowed
        return self.mode is not ToolMode.NONE and (not allowed or tool in allowed)
