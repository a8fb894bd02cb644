from collections import deque
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serve_app.engine.batch import Batch
from serve_app.engine.choice import Choice
from serve_app.engine.draws import Draws
from serve_app.engine.host_pool import HostPool, Slot
from serve_app.engine.sequence import Lane, Sequence, Status
from serve_app.errors import Overloaded
from tests.engine.desk import END, Memory, read, scheduler, tokens
from tests.engine.rest import Rest

WEIGHTS = {"one": 1.0, "two": 2.0, "three": 0.5}
LIMITS = {
    "max_running": 5,
    "max_waiting": 6,
    "max_waiting_tokens": 60,
    "long_prompt_tokens": 12,
    "long_floor_tokens": 3,
}


def sequences() -> st.SearchStrategy[Sequence]:
    """A deadline is told in seconds from now."""
    return st.builds(
        lambda length, text, most, tenant, priority, patience: Sequence(
            tokens(length, text),
            most,
            salt=tenant.encode(),
            tenant=tenant,
            weight=WEIGHTS[tenant],
            priority=priority,
            deadline=patience,
            end_ids=frozenset({END}),
        ),
        length=st.integers(1, 40),
        text=st.integers(1, 2),
        most=st.integers(1, 16),
        tenant=st.sampled_from(sorted(WEIGHTS)),
        priority=st.integers(-1, 1),
        patience=st.none() | st.integers(0, 3),
    )


class Steps(RuleBasedStateMachine):
    """Requests come, fork, step, end, fail, expire and hang up; nothing is lost or overdrawn.

    Steps are planned while others are under way, and booked in the order of planning. Pages that
    the device has no room for go to the host's memory, if it has any, and come back from there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.build(9, 4, 1, 0, 1)
        self.clock = 0.0
        self.under_way: set[Sequence] = set()
        self.begun: set[Sequence] = set()
        self.batches: deque[Batch] = deque()  # planned, not yet booked

    @initialize(
        step_tokens=st.sampled_from([1, 2, 9, 30]),
        page_tokens=st.sampled_from([2, 4]),
        ahead=st.sampled_from([1, 2, 3]),
        host_pages=st.sampled_from([0, 3, 60]),
        recalled=st.sampled_from([1, 9, 99]),
    )
    def build(
        self, step_tokens: int, page_tokens: int, ahead: int, host_pages: int, recalled: int
    ) -> None:
        self.most_under_way = ahead
        pages = 56 // page_tokens
        limits = {**LIMITS, "step_tokens": step_tokens, "page_tokens": page_tokens, "pages": pages}
        limits |= {"host_pages": host_pages, "recalled_tokens": recalled}
        self.books = scheduler(**limits)
        self.memory = Memory(self.books)
        self.rest = Rest(self.books)

    @rule(leader=sequences(), forks=st.sampled_from([0, 0, 1, 3]))
    def add(self, leader: Sequence, forks: int) -> None:
        if leader.deadline is not None:
            leader.deadline += self.clock
        family = {leader, *(leader.fork(Choice(seed=seed)) for seed in range(forks))}
        before = self.books.stats()
        try:
            self.books.add(leader)
        except Overloaded:
            too_many = before.waiting + len(family) > self.books.limits.max_waiting
            most_tokens = before.waiting_tokens + leader.prompt_tokens + forks
            assert before.waiting
            assert too_many or most_tokens > self.books.limits.max_waiting_tokens
        else:
            self.under_way |= family
            stats = self.books.stats()
            assert not before.waiting or stats.waiting <= self.books.limits.max_waiting
            bound = self.books.limits.max_waiting_tokens
            assert not before.waiting or stats.waiting_tokens <= bound

    @precondition(lambda self: len(self.batches) < self.most_under_way)
    @rule(later=st.sampled_from([0, 1, 1]))
    def plan(self, later: int) -> None:
        self.clock += later
        self.expire()
        documents = {
            one
            for one in self.books.running
            if one.lane is Lane.LONG and one.pending > 1 and not one.away
        }
        rested = self.books._roster.rested
        batch = self.rest.plan()
        if not self.batches:
            assert bool(batch) is bool(self.books.running or self.books.waiting)
        assert sum(row.count for row in batch.rows) <= self.books.limits.step_tokens
        for row in batch.rows:
            last = row.start + row.count
            assert len(row.pages) * self.books.limits.page_tokens >= last
            known = len(row.sequence.tokens) + row.sequence.awaited - row.draws
            assert row.draws is (last == known)
            assert known < row.sequence.most_tokens
            assert row.sequence.status is Status.RUNNING
        reading = {one for one in documents if one.status is Status.RUNNING}
        rest = self.books._roster.rested > rested
        if reading and not rest and self.books.blocks.available > self.books.limits.reserve:
            least = min(self.books.limits.floor, *(one.pending for one in reading))
            single = any(row.sequence.lane is Lane.LONG for row in batch.decodes)
            assert single or read(batch, Lane.LONG) >= least
        self.begun |= set(batch.begun)
        if batch:
            self.batches.append(batch)

    def expire(self) -> None:
        waiting = [one for one in self.books.waiting if one not in self.begun]
        late = {one for one in waiting if one.deadline is not None and one.deadline <= self.clock}
        expired = set(self.books.expire(self.clock))
        assert expired == late
        assert all(one.status is Status.EXPIRED for one in expired)

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def book(self, data: st.DataObject) -> None:
        batch = self.batches.popleft()
        self.memory.compute(batch)
        token = st.sampled_from([END, None, 5, 6, 7, 8, 9])
        held = [place for place, row in enumerate(batch.drawing) if row.is_held]
        draws = Draws([data.draw(token) for _ in batch.drawing])
        assert self.books.apply(batch, draws, seconds=0.01) == held

    @precondition(lambda self: self.batches)
    @rule(moved=st.booleans())
    def fail_a_step(self, moved: bool) -> None:
        """It and those behind it are taken again, whether they had moved their pages or not."""
        broken = list(self.batches)
        self.batches.clear()
        for batch in broken:
            if moved:
                self.memory.move(batch)
            self.books.lose(batch)
        for rest in [batch.held() for batch in broken]:
            still_held = rest.held()
            self.memory.compute(still_held)
            self.books.apply(still_held, Draws([7] * len(still_held.drawing)))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), status=st.sampled_from([Status.CANCELLED, Status.FAILED]))
    def end_one(self, data: st.DataObject, status: Status) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.under_way, key=_arrival)))
        self.books.finish(sequence, status)
        self.books.finish(sequence, status)

    @invariant()
    def documents_rest_only_while_chats_read_a_step(self) -> None:
        """A token a step at least: so for no more steps than a step has tokens."""
        assert all(self.rest.steps)
        assert sum(self.rest.steps[:-1]) < self.books.limits.step_tokens

    @invariant()
    def nothing_is_lost(self) -> None:
        self.under_way = {sequence for sequence in self.under_way if not sequence.finished}
        running, waiting = self.books.running, self.books.waiting
        assert len(running) + len(waiting) == len(self.under_way)
        assert {*running, *waiting} == self.under_way

    @invariant()
    def who_waits_stands_in_one_line_or_behind_a_leader(self) -> None:
        roster = self.books._roster
        assert roster.waiting_tokens == sum(one.load for one in self.books.waiting)
        behind = [fork for one in self.books.waiting + self.books.running for fork in one.forks]
        in_line = [one for line in roster.lines.values() for one in line.order(lambda _: 1.0)]
        assert sorted(map(_arrival, behind + in_line)) == sorted(map(_arrival, self.books.waiting))

    @invariant()
    def accounts_are_open_for_who_needs_them(self) -> None:
        for lane, line in self.books._roster.lines.items():
            all_of_them = self.books.running + self.books.waiting
            its = [one for one in all_of_them if one.lane is lane and one.account]
            accounts = {one.account for one in its}
            assert sum(account.sequences for account in accounts if account) == len(its)
            assert line.tenants >= len(accounts)

    @invariant()
    def every_place_in_line_can_be_told(self) -> None:
        for sequence in self.books.running + self.books.waiting:
            place = self.books.queued(sequence)
            assert (place is None) is (sequence.status is Status.RUNNING or _led(sequence))
            assert place is None or place.wait_s >= 0

    @invariant()
    def only_running_sequences_hold_pages(self) -> None:
        self.books.blocks.check()
        assert len(self.books.running) <= self.books.limits.max_running
        held = {page for sequence in self.books.running for page in sequence.pages}
        promised = sum(sequence.promised for sequence in self.books.running)
        assert len(held) == self.books.blocks.total - self.books.blocks.available - promised
        waiting = self.books.waiting
        assert not any(one.pages or one.away or one.promised for one in waiting)

    def teardown(self) -> None:
        """Left alone, everything ends, and nobody is remembered."""
        for batch in self.batches:
            self.memory.compute(batch)
            self.books.apply(batch, Draws([7] * len(batch.drawing)))
        bound = sum(2 * (len(one.tokens) + one.max_tokens) for one in self.under_way) ** 2
        steps = count()
        while self.books.running or self.books.waiting:
            batch = self.books.schedule()
            self.memory.compute(batch)
            self.books.apply(batch, Draws([7] * len(batch.drawing)))
            assert next(steps) < bound
        assert self.books.blocks.available == self.books.blocks.total
        assert self.books.stats().waiting_tokens == 0
        assert not in_use(self.books.blocks.host)
        assert not any(line.tenants for line in self.books._roster.lines.values())


def in_use(host: HostPool) -> set[Slot]:
    """In which states slots are that nobody should be moving pages to or from."""
    return set(host._states) - {Slot.FREE, Slot.KEPT}


def _arrival(sequence: Sequence) -> int:
    return sequence.arrival


def _led(sequence: Sequence) -> bool:
    """Whether it waits for the prompt of a leader that has begun."""
    leader = sequence.leader
    return bool(leader and sequence in leader.forks and leader.status is Status.RUNNING)


TestSteps = Steps.TestCase
TestSteps.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
