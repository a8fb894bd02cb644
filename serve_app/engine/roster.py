"""Who waits and who runs, and what each move means for lines and pages."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from serve_app.engine.drafts import Trust
from serve_app.engine.limits import Limits
from serve_app.engine.line import Line
from serve_app.engine.pages import Found, Pages
from serve_app.engine.sequence import Lane, Sequence, Status


@dataclass(slots=True)
class Totals:
    """What happened since the start; only ever grows."""

    prompt_tokens: int = 0  # of requests that joined the line
    generation_tokens: int = 0
    cache_queried_tokens: int = 0
    cache_hit_tokens: int = 0
    host_queried_tokens: int = 0  # not found on the device
    host_hit_tokens: int = 0
    preemptions: int = 0
    expired: int = 0
    steps: int = 0
    drafted: int = 0  # tokens guessed
    accepted: int = 0  # of them
    step_tokens: int = 0  # computed in them
    steps_by_size: Counter[int] = field(default_factory=Counter)  # by n, up to 2**n tokens

    def note_step(self, tokens: int) -> None:
        self.steps += 1
        self.step_tokens += tokens
        self.steps_by_size[(tokens - 1).bit_length()] += 1


class Roster:
    """Makes the moves; whether to make them is decided elsewhere."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.pages = Pages(limits)
        self.lines = {lane: Line() for lane in Lane}
        self.waiting: dict[Sequence, None] = {}  # forks that wait for their leader too
        self.waiting_tokens = 0
        self.running: list[Sequence] = []  # in the order in which they began
        self.totals = Totals()
        self.trust = Trust()  # in guesses: a step with some holds up all that are in it
        self.rested = 0  # tokens of chats' prompts that documents stood back for since they shared
        self._arrivals = count()

    @property
    def has_place(self) -> bool:
        """Whether one more may run."""
        return len(self.running) < self.limits.max_running

    def load(self, sequence: Sequence) -> int:
        """Tokens to compute before the first draw; the cache is asked for long prompts alone."""
        tokens = len(sequence.tokens)
        if tokens <= self.limits.long_prompt_tokens:
            return tokens
        return self.pages.load(sequence, self.pages.find(sequence))

    def add(self, leader: Sequence, load: int) -> None:
        """Let a sequence wait, and its forks for it."""
        self.totals.prompt_tokens += leader.prompt_tokens
        for member in (leader, *leader.forks):
            member.arrival = next(self._arrivals)
            self._wait(member, load if member is leader else 1)
        self._join(leader)

    def start(self, sequence: Sequence, found: Found, fresh: int) -> None:
        """Begin behind cached pages; what the host has comes first, and pages as it comes."""
        self._leave_line(sequence)
        self.pages.hold(sequence, found.pages, 0 if found.slots else fresh)
        if found.slots:
            self.pages.expect(sequence, found.slots, fresh)
        known = len(sequence.tokens) - self.pages.load(sequence, found)
        if not sequence.billed:
            sequence.cached = known
            self._note_found(sequence)
        sequence.billed = max(sequence.billed, known)

    def start_fork(self, fork: Sequence, leader: Sequence) -> tuple[tuple[int, int], ...]:
        """Begin behind the leader's prompt; return the copies to make."""
        self._leave_line(fork)
        copies = self.pages.share(fork, leader)
        fork.billed = fork.computed
        return copies

    def release(self, leader: Sequence) -> None:
        """The prompt is computed: forks take their own places in the line."""
        forks, leader.forks = leader.forks, []
        for fork in forks:
            self._join(fork)

    def weigh_again(self, sequence: Sequence, load: int) -> None:
        """What was cached when it joined is gone: let it wait in the lane of its new load."""
        self._stop_waiting(sequence)
        self._wait(sequence, load)
        self._join(sequence)

    def preempt(self, sequence: Sequence) -> None:
        """Send a running sequence back into its line; its tokens stay."""
        sequence.move(Status.WAITING)
        self.running.remove(sequence)
        self.pages.give_back(sequence)
        self.lines[sequence.lane].close(sequence)
        self._wait(sequence, self.load(sequence))
        self._join(sequence)
        sequence.preemptions += 1
        self.totals.preemptions += 1

    def end(self, sequence: Sequence, status: Status) -> None:
        """Take a sequence off; forks that still wait for it are led by the first of them."""
        ran = sequence.status is Status.RUNNING
        sequence.move(status)
        if ran:
            self.running.remove(sequence)
            self.pages.give_back(sequence, keep=status is not Status.FAILED)
            self.lines[sequence.lane].close(sequence)
        else:
            self._stop_waiting(sequence)
        if sequence.forks:
            self._promote(sequence)

    def _note_found(self, sequence: Sequence) -> None:
        totals, asked = self.totals, len(sequence.tokens)
        totals.cache_queried_tokens += asked
        totals.cache_hit_tokens += sequence.computed
        if self.pages.host.total:
            totals.host_queried_tokens += asked - sequence.computed
            totals.host_hit_tokens += sequence.cached - sequence.computed

    def _wait(self, sequence: Sequence, load: int) -> None:
        self.waiting[sequence] = None
        self.waiting_tokens += load
        sequence.load = load

    def _join(self, sequence: Sequence) -> None:
        long = sequence.load > self.limits.long_prompt_tokens
        sequence.lane = Lane.LONG if long else Lane.SHORT
        self.lines[sequence.lane].join(sequence)

    def _leave_line(self, sequence: Sequence) -> None:
        sequence.move(Status.RUNNING)
        self.lines[sequence.lane].begin(sequence)
        self._forget_waiting(sequence)
        self.running.append(sequence)
        sequence.leader = None
        for member in (sequence, *sequence.forks):
            member.deadline = None  # kept: the request has begun

    def _stop_waiting(self, sequence: Sequence) -> None:
        self._forget_waiting(sequence)
        if sequence.account:
            self.lines[sequence.lane].leave(sequence)
        elif sequence.leader:
            sequence.leader.forks.remove(sequence)
        sequence.leader = None

    def _forget_waiting(self, sequence: Sequence) -> None:
        del self.waiting[sequence]
        self.waiting_tokens -= sequence.load

    def _promote(self, leader: Sequence) -> None:
        heir, *others = leader.forks
        leader.forks = []
        heir.leader, heir.forks = None, others
        for fork in others:
            fork.leader = heir
        self._forget_waiting(heir)
        self._wait(heir, self.load(heir))
        self._join(heir)
