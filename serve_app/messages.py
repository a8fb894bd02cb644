"""Values that pass through the doors between rooms: frozen, picklable, standard library only."""

from dataclasses import dataclass
from enum import StrEnum

HOTTEST = 2.0  # OpenAI's highest temperature


class Role(StrEnum):
    """Who speaks, in GLM's words."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    OBSERVATION = "observation"  # what a tool answered; OpenAI calls it "tool"


class FinishReason(StrEnum):
    """Why an answer ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


class Action(StrEnum):
    """What a guard decided."""

    ALLOW = "allow"
    BLOCK = "block"


class Side(StrEnum):
    """Which text a guard judged."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `content` is data, never control tokens."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen and when to stop.

    None means: as the model's own generation config says. ValueError: no sampler could do that;
    the wire refuses the same, in words for the caller.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None  # None: until the context is full
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0.0 <= self.temperature <= HOTTEST:
            raise ValueError(f"temperature must be from 0 to {HOTTEST:g}.")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError("top_p must be above 0 and at most 1.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1.")
        if not all(self.stop):
            raise ValueError("A stop string must not be empty.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    tenant: str = "anonymous"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One admitted chat completion."""

    request_id: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    caller: Caller = Caller()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer; `cached_tokens` is the share of the prompt found in the cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Delta:
    """Text that became presentable, and the usage up to and with it."""

    text: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Finish:
    """The last event of every answer."""

    reason: FinishReason
    usage: Usage


Event = Delta | Finish


@dataclass(frozen=True, slots=True)
class Verdict:
    """A guard's decision; `rule` names the list and line that matched, never the text."""

    action: Action
    rule: str | None = None


ALLOWED = Verdict(Action.ALLOW)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is served: `digest` is the SHA-256 of the manifest, `created` Unix seconds."""

    name: str
    digest: str
    context_tokens: int
    created: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What one engine knows about itself; tokens and preemptions are totals since its start."""

    running: int = 0
    waiting: int = 0
    free_pages: int = 0  # of the KV cache; cached ones count, for they may be evicted
    total_pages: int = 0
    prefix_cache_queried_tokens: int = 0
    prefix_cache_hit_tokens: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    preemptions: int = 0

    @property
    def kv_usage(self) -> float:
        """Share of pages held by running sequences, 0 to 1."""
        return 1.0 - self.free_pages / self.total_pages if self.total_pages else 0.0
