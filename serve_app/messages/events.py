"""What an answer is made of, in the order in which it comes.

At most one Queued, at most one Echo, then pieces; each of the n choices ends with one Finish.
"""

from dataclasses import dataclass, field
from enum import StrEnum

UNKNOWN = "unknown"  # lane or class of what never reached an engine


class FinishReason(StrEnum):
    """Why an answer ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class Channel(StrEnum):
    """Which part of an answer a text belongs to."""

    CONTENT = "content"
    REASONING = "reasoning"  # what a thinking model says before it answers


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts over all choices; `cached_tokens` is the share of the prompt in the cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0  # of the completion tokens


@dataclass(frozen=True, slots=True)
class Chance:
    """A token and the natural logarithm of its probability."""

    token: int
    text: bytes  # what the token stands for; may be a part of a character; nothing if control
    logprob: float
    rank: int | None = None  # 1: none is likelier; None: not asked for
    control: str = ""  # how a control token is written


@dataclass(frozen=True, slots=True)
class TokenChances:
    """The token that stands there, and the likeliest that might have."""

    drawn: Chance
    top: tuple[Chance, ...] = ()  # likeliest first


@dataclass(frozen=True, slots=True)
class Spelt:
    """Token ids of an answer, and the text they stand for, by which a guard judges them."""

    tokens: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The request waits: how many go before it, and how long that takes as measured."""

    position: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Echo:
    """The prompt's own tokens; the first has no probability, for nothing stands before it."""

    text: str
    chances: tuple[TokenChances | None, ...] = ()
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that became presentable, and the usage up to and with it."""

    text: str
    usage: Usage
    choice: int = 0
    channel: Channel = Channel.CONTENT
    chances: tuple[TokenChances, ...] = ()  # of the tokens that the text came from


@dataclass(frozen=True, slots=True)
class ToolDelta:
    """A piece of a tool call's arguments; its first piece alone has id and name."""

    call: int  # number of the call in its choice, from 0
    text: str
    usage: Usage
    choice: int = 0
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Where the time of a choice went, in seconds on the engine's clock, and whose it was."""

    queue_s: float  # in the waiting line, until it first began
    prefill_s: float  # from there to its first token
    decode_s: float  # from its first token to its last
    lane: str = UNKNOWN
    tenant_class: str = UNKNOWN  # as in LaneStats


@dataclass(frozen=True, slots=True)
class Finish:
    """The last event of every choice."""

    reason: FinishReason
    usage: Usage
    choice: int = 0
    times: Times | None = field(default=None, compare=False)
    spelt: Spelt | None = None  # the whole choice, where its tokens are asked for
    stopped_by: str | int | None = None  # which of the caller's stop strings or token ids ended it


Event = Queued | Echo | Delta | ToolDelta | Finish
