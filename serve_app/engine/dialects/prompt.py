"""From a conversation to control tokens and plain texts, by the checkpoint's own chat template."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from serve_app.engine.dialects.slots import Segments, Slots, check_unicode, slot
from serve_app.engine.dialects.spelling import Turns, function
from serve_app.errors import InvalidRequest
from serve_app.messages import ChatRequest, Ending, Message, Role, Tool, ToolMode

_FRAMES = 256  # rendered templates to remember, one a shape of a conversation
_FRAME_TURNS = 64  # longer ones are rendered anew: 10 us a turn, against memory without bound
_FRAME_TEXT = 16_384  # characters, likewise

Part = int | str  # a control token's id, or text in which nothing is special
Frame = tuple[int | Segments, ...]


class Telling(NamedTuple):
    """What a template is told beside messages and tools."""

    thinking: bool | None
    opens_answer: bool


class Shape(NamedTuple):
    """What a template may see of a message: all but its words."""

    role: Role
    content: str  # a slot among the text's own blanks
    reasoning: str


class Template(Protocol):
    """The part of a Hugging Face tokenizer that is used."""

    chat_template: str | dict[str, str] | None

    def apply_chat_template(self, conversation: list[Mapping[str, Any]], **options: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class _Data:
    """One message's stand-ins."""

    number: int
    content: str
    reasoning: str
    slots: Slots

    def escape(self, value: Any, param: str) -> Any:
        return self.slots.escape(value, param)


class TemplatePrompt:
    """Renders the template around slots, so that texts stay data; remembers what it rendered."""

    def __init__(
        self,
        template: Template,
        control: Mapping[str, int],
        turns: Turns,
        *,
        tools_in_turn: bool = False,
    ) -> None:
        """`tools_in_turn`: the template reads tools from a message instead of a variable."""
        self._template = template
        self._control = control
        self._divide = re.compile(
            "(" + ("|".join(map(re.escape, sorted(control, key=len, reverse=True))) or "(?!)") + ")"
        )
        self._turns = turns
        self._tools_in_turn = tools_in_turn
        self._known_frame = lru_cache(maxsize=_FRAMES)(self._plain_frame)

    def parts(self, request: ChatRequest) -> Iterator[Part]:
        """Yield the prompt; raises InvalidRequest for what cannot be spelt."""
        contents = _contents(request.messages)
        frame = self._frame(request)
        if request.ending is Ending.CONTINUED:
            frame = _cut(frame, request.messages)
        for part in frame:
            yield part if isinstance(part, int) else _fill(part, contents)

    def _frame(self, request: ChatRequest) -> Frame:
        messages, tools = request.messages, offered(request)
        shapes = tuple(_shape(number, each) for number, each in enumerate(messages))
        telling = Telling(request.thinking, request.ending is Ending.ANSWER)
        if any(message.tool_calls for message in messages):
            return self._render(messages, shapes, tools, telling)
        known = len(shapes) <= _FRAME_TURNS and _size(shapes, tools) <= _FRAME_TEXT
        frame = self._known_frame if known else self._plain_frame
        return frame(shapes, tools, telling)

    def _plain_frame(
        self, shapes: tuple[Shape, ...], tools: tuple[Tool, ...], telling: Telling
    ) -> Frame:
        """The frame of messages without calls: nothing in it is theirs but their shape."""
        messages = [Message(shape.role, "") for shape in shapes]
        return self._render(messages, shapes, tools, telling)

    def _render(
        self,
        messages: Sequence[Message],
        shapes: Sequence[Shape],
        tools: tuple[Tool, ...],
        telling: Telling,
    ) -> Frame:
        slots = Slots(self._control, 2 * len(messages))
        try:
            text = self._apply(messages, shapes, slots, tools, telling)
        except InvalidRequest:
            raise
        except Exception as error:  # a template is a program of the checkpoint's own
            raise InvalidRequest(
                "The model's chat template has no way to spell this conversation.", "messages"
            ) from error
        pieces = (piece for piece in self._divide.split(text) if piece)
        return tuple(
            self._control[piece] if piece in self._control else slots.segments(piece)
            for piece in pieces
        )

    def _apply(
        self,
        messages: Sequence[Message],
        shapes: Sequence[Shape],
        slots: Slots,
        tools: tuple[Tool, ...],
        telling: Telling,
    ) -> str:
        spoken = zip(messages, shapes, strict=True)
        turns: list[Mapping[str, Any]] = [
            turn
            for number, (message, shape) in enumerate(spoken)
            for turn in self._turns(message, _Data(number, shape.content, shape.reasoning, slots))
        ]
        thinking = telling.thinking
        options: dict[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
        if tools and self._tools_in_turn:
            turns.insert(0, {"role": "system", "content": "", "tools": _described(tools, slots)})
        elif tools:
            options["tools"] = _described(tools, slots)
        return self._template.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=telling.opens_answer, **options
        )


def offered(request: ChatRequest) -> tuple[Tool, ...]:
    """The tools that the answer may call."""
    return () if request.tool_choice.mode is ToolMode.NONE else request.tools


def _described(tools: Sequence[Tool], slots: Slots) -> list[Any]:
    return [
        slots.escape(
            {"type": "function", "function": function(tool, number)}, f"tools[{number}].function"
        )
        for number, tool in enumerate(tools)
    ]


def _shape(number: int, message: Message) -> Shape:
    return Shape(
        message.role,
        slot(message.content, 2 * number),
        slot(message.reasoning, 2 * number + 1),
    )


def _contents(messages: Sequence[Message]) -> list[str]:
    """What goes into the slots, by number."""
    contents = []
    for number, message in enumerate(messages):
        check_unicode(message.content, f"messages[{number}].content")
        check_unicode(message.reasoning, f"messages[{number}].reasoning_content")
        contents += [message.content.strip(), message.reasoning.strip()]
    return contents


def _cut(frame: Frame, messages: Sequence[Message]) -> Frame:
    """A frame up to the end of the last message's text, as transformers cuts it.

    Blanks at the end of the text stay if the template keeps them.
    """
    last, content = 2 * (len(messages) - 1), messages[-1].content
    blanks = content[len(content.rstrip()) :]
    places = [place for place, part in enumerate(frame) if isinstance(part, tuple) and last in part]
    part = frame[places[-1]] if places and not messages[-1].tool_calls else ()
    if not isinstance(part, tuple) or not part:
        raise InvalidRequest(
            "Only a last message of text alone can be continued; leave"
            " 'continue_final_message' out.",
            f"messages[{len(messages) - 1}]",
        )
    end = part.index(last) + 1
    kept = "".join(each for each in part[end : end + 1] if isinstance(each, str))
    tail = (blanks,) if blanks and kept.startswith(blanks) else ()
    return (*frame[: places[-1]], (*part[:end], *tail))


def _fill(segments: Segments, contents: Sequence[str]) -> str:
    return "".join(each if isinstance(each, str) else contents[each] for each in segments)


def _size(shapes: Sequence[Shape], tools: Sequence[Tool]) -> int:
    """Characters that a remembered frame costs, about."""
    said = sum(len(shape.content) + len(shape.reasoning) for shape in shapes)
    return said + sum(len(tool.description) + len(tool.parameters) for tool in tools)
