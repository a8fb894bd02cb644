"""What an answer must look like, said without naming any library.

A `Part` of an answer is text, or a control token by its id: text can never spell one.
"""

from dataclasses import dataclass, field

from serve_app.messages import Structure, Tool, ToolChoice, ToolMode

Part = int | str


@dataclass(frozen=True, slots=True)
class Opening:
    """What may stand before the answer proper: thoughts, and line feeds of the spelling.

    With `unthink` everything up to it is free. `think` is said first, where the prompt has not
    said it already.
    """

    margin: int = 0  # line feeds at most, before each part of the answer
    think: Part | None = None
    unthink: Part | None = None


@dataclass(frozen=True, slots=True)
class Headed:
    """GLM-4's way to call a tool: its name, a line feed and JSON."""

    again: Part | None = None  # what opens a further call; None: there is none


@dataclass(frozen=True, slots=True)
class Tagged:
    """GLM-4.5's way: marks around the call and around each argument's key and value.

    A value that its schema calls a string is written as it is, any other as JSON.
    """

    call: Part = "<tool_call>"
    uncall: Part = "</tool_call>"
    key: Part = "<arg_key>"
    unkey: Part = "</arg_key>"
    value: Part = "<arg_value>"
    unvalue: Part = "</arg_value>"


Spelling = Headed | Tagged


@dataclass(frozen=True, slots=True)
class Form:
    """All that binds one answer; the spelling is None where no calls can be bound."""

    structure: Structure | None = None
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    spelling: Spelling | None = None
    opening: Opening = field(default_factory=Opening)

    @property
    def must_call(self) -> bool:
        return self.choice.mode is ToolMode.REQUIRED

    @property
    def may_call(self) -> bool:
        """Whether calls are bound that may be made, or not."""
        strict = any(tool.strict for tool in self.tools)
        asked = self.structure is not None or strict or bool(self.choice.allowed)
        return self.choice.mode is ToolMode.AUTO and bool(self.tools) and asked

    @property
    def binding(self) -> bool:
        """Whether any answer would not do."""
        return self.structure is not None or self.must_call or self.may_call

    @property
    def sources(self) -> tuple[str, ...]:
        """What the caller wrote of it."""
        structure = (self.structure.source,) if self.structure else ()
        return structure + tuple(t for tool in self.tools for t in (tool.name, tool.parameters))
