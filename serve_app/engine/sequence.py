"""One request inside the engine: its tokens, its KV pages and what may follow what."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

from serve_app.engine.account import Account
from serve_app.engine.choice import Choice
from serve_app.engine.drafts import Drafts
from serve_app.messages import FinishReason


class Status(StrEnum):
    """Where a sequence stands."""

    WAITING = "waiting"  # holds no pages
    RUNNING = "running"  # holds a page for every token it computes
    STOPPED = "stopped"  # end token or stop string
    EXHAUSTED = "exhausted"  # max_tokens reached
    CANCELLED = "cancelled"  # nobody listens any more
    FAILED = "failed"
    EXPIRED = "expired"  # had not begun by its deadline


class Lane(StrEnum):
    """Documents wait for each other, never in the way of chats."""

    SHORT = "short"
    LONG = "long"


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.WAITING: frozenset(Status) - {Status.WAITING, Status.STOPPED, Status.EXHAUSTED},
    Status.RUNNING: frozenset(Status) - {Status.RUNNING, Status.EXPIRED},  # WAITING: preempted
    Status.STOPPED: frozenset(),
    Status.EXHAUSTED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.FAILED: frozenset(),
    Status.EXPIRED: frozenset(),
}

FINISH_REASONS: Mapping[Status, FinishReason] = {
    Status.STOPPED: FinishReason.STOP,
    Status.EXHAUSTED: FinishReason.LENGTH,
}


@dataclass(eq=False, slots=True, weakref_slot=True)
class Sequence:
    """Prompt and answer as token ids; the scheduler alone changes it."""

    tokens: list[int]
    max_tokens: int
    choice: Choice = field(default_factory=Choice)
    salt: bytes = b""  # sequences share cached pages only under the same salt
    tenant: str = ""
    weight: float = 1.0  # of the tenant: twice the weight, twice the tokens
    priority: int = 0  # of a tenant's sequences the lower goes first
    deadline: float | None = None  # on the engine's clock; None also once the request has begun
    end_ids: frozenset[int] = frozenset()  # tokens that end the answer
    matcher: Any = None  # what the grammar lets follow; not looked at here
    drafts: Drafts | None = field(default=None, init=False)  # guesses; None: it makes none
    leader: Self | None = None  # whose prompt this one shares; None once that is settled
    forks: list[Self] = field(default_factory=list, init=False)  # wait for this one's prompt
    prompt_tokens: int = field(init=False)
    most_tokens: int = field(init=False)  # that it can grow to
    status: Status = field(default=Status.WAITING, init=False)
    lane: Lane = field(default=Lane.SHORT, init=False)  # chosen by load when it joins a line
    account: Account | None = field(default=None, init=False)  # None: in no line, not running
    arrival: int = field(default=0, init=False)  # number in the order of coming
    load: int = field(default=0, init=False)  # tokens of the prompt to compute, as last estimated
    tried: int = field(default=-1, init=False)  # returns of pages when there was no room for it
    billed: int = field(default=0, init=False)  # tokens charged; computing them again is free
    computed: int = field(default=0, init=False)  # tokens in the pages once planned steps are done
    awaited: int = field(default=0, init=False)  # tokens that planned steps draw, not known yet
    cached: int = field(default=0, init=False)  # prompt tokens that were found, not computed
    committed: int = field(default=0, init=False)  # full pages that others may find
    preemptions: int = field(default=0, init=False)
    pages: list[int] = field(default_factory=list, init=False)
    hashes: list[bytes] = field(default_factory=list, init=False)  # of full pages, chained
    away: list[int] = field(default_factory=list, init=False)  # slots of the host, to come back
    promised: int = field(default=0, init=False)  # pages it may yet take

    def __post_init__(self) -> None:
        if not self.tokens or self.max_tokens < 1:
            raise ValueError("A sequence needs a prompt and room for one token.")
        if self.weight <= 0:
            raise ValueError("A tenant's weight is above 0.")
        self.prompt_tokens = len(self.tokens)
        self.most_tokens = self.prompt_tokens + self.max_tokens

    def fork(self, choice: Choice, matcher: Any = None) -> Self:
        """Another answer to the same prompt; fork before the sequence is added."""
        fork = replace(self, tokens=list(self.tokens), choice=choice, matcher=matcher, leader=self)
        self.forks.append(fork)
        return fork

    @property
    def pending(self) -> int:
        """Tokens still to compute before the next one can be drawn."""
        return len(self.tokens) + self.awaited - self.computed

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def spent(self) -> float:
        """What its tenant was given, on the clock of the line it joined."""
        return self.account.spent if self.account else 0.0

    def charge(self, end: int) -> None:
        """Bill its tenant for tokens up to `end`; what was billed before is free."""
        if self.account and end > self.billed:
            self.account.charge(end - self.billed)
            self.billed = end

    @property
    def by_host(self) -> bool:
        """Whether only the host can draw its next token, knowing all before."""
        return self.matcher is not None or self.choice.edits or self.choice.logprobs is not None

    @property
    def whole(self) -> bool:
        """Whether all its tokens are computed, none taken from the cache, which has no logits."""
        return self.choice.prompt_logprobs is not None

    @property
    def finished(self) -> bool:
        return not TRANSITIONS[self.status]

    def move(self, status: Status) -> None:
        """Raise ValueError, and change nothing, if the table forbids it."""
        if status not in TRANSITIONS[self.status]:
            raise ValueError(f"A sequence cannot go from {self.status} to {status}.")
        self.status = status
