"""What a caller asks for, admitted and complete."""

from dataclasses import dataclass, field
from enum import StrEnum

from serve_app.messages.conversation import Message, Tool, ToolChoice
from serve_app.messages.sampling import Sampling, Structure


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    tenant: str = "anonymous"


@dataclass(frozen=True, slots=True)
class Urgency:
    """How soon an answer is needed.

    Of two waiting requests the lower `priority` goes first, as in vLLM. Work that has not begun
    `deadline_s` seconds after it arrived is not begun any more.
    """

    priority: int = 0
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Handling:
    """How the engine treats a prompt, and what it tells of it."""

    last_tokens: int | None = None  # of a longer prompt only so many are read; -1: what fits
    cache_salt: str = ""  # whoever sends another shares no cached pages, not even a tenant's own
    tells_tokens: bool = False  # whether the ids of prompt and answer go back
    speculates: bool | None = None  # whether guesses are checked; None: as the engine is set


class Ending(StrEnum):
    """What a conversation ends with where the answer begins."""

    ANSWER = "answer"  # an assistant's turn is opened
    NOTHING = "nothing"  # the model opens a turn itself
    CONTINUED = "continued"  # the last message goes on


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One admitted chat completion."""

    request_id: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    caller: Caller = Caller()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    structure: Structure | None = None
    thinking: bool | None = None  # None: as the model does by itself
    urgency: Urgency = field(default_factory=Urgency)
    handling: Handling = field(default_factory=Handling)
    ending: Ending = Ending.ANSWER


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One admitted text completion: no template, no roles; token ids are taken as they are."""

    request_id: str
    model: str
    prompt: str | tuple[int, ...]
    sampling: Sampling
    caller: Caller = Caller()
    structure: Structure | None = None
    echo: bool = False  # whether the answer begins with the prompt
    urgency: Urgency = field(default_factory=Urgency)
    handling: Handling = field(default_factory=Handling)
    has_prefix: bool = True  # whether a text gets what the tokenizer puts before every text


Request = ChatRequest | CompletionRequest
