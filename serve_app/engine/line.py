"""A waiting line, fair between tenants by tokens (start-time fair queueing).

An account's `spent` is a tenant's own clock: tokens computed over weight. Whoever spent least
goes first; within a tenant the lower priority, then who came first. So a priority orders a
tenant's own work and takes nothing from another tenant.

The line's clock is where the last one that began stood. Who comes to wait starts there at
least: time spent idle earns nothing. Debts are remembered while anybody waits, so that asking
one by one pays as much as asking at once; once nobody waits, nobody was wronged, and all is
forgotten. So what is kept is bounded by who waits, who runs and who is ahead of the clock.

The bound: of two tenants that both wait all the while, one is never ahead by more than what
its running sequences may still compute, over its weight.
"""

from bisect import insort
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heapreplace

from serve_app.engine.account import Account
from serve_app.engine.sequence import Sequence


class Line:
    """Owns the accounts of one lane."""

    def __init__(self) -> None:
        self.clock = 0.0
        self._accounts: dict[str, Account] = {}
        self._queues: dict[str, list[Sequence]] = {}  # of tenants that wait; none is empty

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._queues)

    @property
    def tenants(self) -> int:
        """How many are remembered."""
        return len(self._accounts)

    def join(self, sequence: Sequence) -> None:
        account = self._account(sequence)
        if sequence.tenant not in self._queues:
            account.spent = max(account.spent, self.clock)
            self._queues[sequence.tenant] = []
        insort(self._queues[sequence.tenant], sequence, key=_turn)
        account.sequences += 1
        sequence.account = account

    def head(self) -> Sequence | None:
        """Whose turn it is."""
        heads = (queue[0] for queue in self._queues.values())
        return min(heads, key=lambda head: (head.spent, head.arrival), default=None)

    def begin(self, sequence: Sequence) -> None:
        """Let a sequence out of the line; its account stays open."""
        self.clock = max(self.clock, sequence.spent)
        self._drop(sequence)

    def leave(self, sequence: Sequence) -> None:
        """A waiting sequence gives up."""
        self._drop(sequence)
        self.close(sequence)

    def close(self, sequence: Sequence) -> None:
        """A sequence that had begun needs its account no more."""
        account, sequence.account = sequence.account, None
        if account:
            account.sequences -= 1
            self._forget(account)

    def order(self, cost: Callable[[Sequence], float]) -> Iterator[Sequence]:
        """Who would begin after whom if nobody came and each cost as told."""
        heads = [(queue[0].spent, queue[0].arrival, iter(queue)) for queue in self._queues.values()]
        turns = [(spent, arrival, next(queue), queue) for spent, arrival, queue in heads]
        heapify(turns)
        while turns:
            spent, _, sequence, queue = turns[0]
            yield sequence
            following = next(queue, None)
            if following is None:
                heappop(turns)
            else:
                spent += cost(sequence) / sequence.weight
                heapreplace(turns, (spent, following.arrival, following, queue))

    def _account(self, sequence: Sequence) -> Account:
        account = self._accounts.get(sequence.tenant)
        if account is None:
            for idle in [each for each in self._accounts.values() if not each.sequences]:
                self._forget(idle)
            account = Account(sequence.tenant, sequence.weight, self.clock)
            self._accounts[sequence.tenant] = account
        account.weight = sequence.weight
        return account

    def _drop(self, sequence: Sequence) -> None:
        queue = self._queues[sequence.tenant]
        queue.remove(sequence)
        if not queue:
            del self._queues[sequence.tenant]
        if not self._queues:
            self._forgive()

    def _forgive(self) -> None:
        self.clock = 0.0
        self._accounts = {
            name: account for name, account in self._accounts.items() if account.sequences
        }
        for account in self._accounts.values():
            account.spent = 0.0

    def _forget(self, account: Account) -> None:
        """Drop an idle account, unless it is ahead of those that wait."""
        if not account.sequences and (account.spent <= self.clock or not self._queues):
            self._accounts.pop(account.tenant, None)


def _turn(sequence: Sequence) -> tuple[int, int]:
    return sequence.priority, sequence.arrival
