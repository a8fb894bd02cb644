"""The pages of sequences: found again, shared, grown, given back."""

from typing import NamedTuple

from serve_app.engine.blocks import Blocks, chain
from serve_app.engine.host_pool import HostPool
from serve_app.engine.limits import Limits
from serve_app.engine.sequence import Sequence


class Found(NamedTuple):
    """What is known of a sequence's beginning, in order."""

    pages: list[int]
    slots: list[int]  # of the host, behind those


class Pages:
    """Keeps the books of one KV cache together with those of the sequences."""

    def __init__(self, limits: Limits) -> None:
        self.host = HostPool(limits.host_pages)
        self.blocks = Blocks(limits.pages, self.host)
        self.returns = 0  # grows whenever pages come back
        self._limits = limits
        self._size = limits.page_tokens

    def known(self, sequence: Sequence) -> list[int]:
        """Cached pages of all but the last token, which must be computed to draw the next."""
        return self.blocks.match(self._hash(sequence, at) for at in self._asked(sequence))

    def find(self, sequence: Sequence) -> Found:
        """Cached pages as above, and where the host has what comes behind them."""
        known = self.known(sequence)
        if not self.host.used:
            return Found(known, [])
        behind = self._asked(sequence)[len(known) :]
        return Found(known, self.host.match(self._hash(sequence, at) for at in behind))

    def load(self, sequence: Sequence, found: Found) -> int:
        """Tokens left to compute."""
        return len(sequence.tokens) - (len(found.pages) + len(found.slots)) * self._size

    def hold(self, sequence: Sequence, reused: list[int], fresh: int) -> None:
        """Begin with pages whose tokens are computed; ask `blocks.can_take` before."""
        sequence.pages = self.blocks.take(fresh, reused)
        sequence.committed = len(reused)
        sequence.computed = len(reused) * self._size

    def expect(self, sequence: Sequence, slots: list[int], promised: int) -> None:
        """Let a sequence that began get pages back step by step, in the room it was promised."""
        self.host.read(slots)
        self.blocks.promise(promised)
        sequence.away, sequence.promised = slots, promised

    def recall(self, sequence: Sequence, most: int) -> list[tuple[int, int]]:
        """Take pages for what comes back next; return the slots with them."""
        begin = sequence.computed // self._size
        most = min(most, sequence.promised + self.blocks.available)
        slots, sequence.away = sequence.away[:most], sequence.away[most:]
        self.grow(sequence, len(slots))
        sequence.computed += len(slots) * self._size
        return list(zip(slots, sequence.pages[begin:], strict=True))

    def share(self, fork: Sequence, leader: Sequence) -> tuple[tuple[int, int], ...]:
        """Begin at the last token of a prompt that the leader has computed.

        That token is written anew, so its page is copied if more of the prompt stands on it; the
        pages before are held by both. Returns the copy to make, from and to; takes a fresh page.
        """
        shared, rest = divmod(fork.prompt_tokens - 1, self._size)
        self.hold(fork, leader.pages[:shared], 1)
        fork.computed = fork.prompt_tokens - 1
        fork.hashes = leader.hashes[:shared]
        return ((leader.pages[shared], fork.pages[shared]),) if rest else ()

    def lacking(self, sequence: Sequence, tokens: int) -> int:
        """Pages that a sequence still needs to hold its first `tokens`."""
        return max(0, self._limits.pages_for(tokens) - len(sequence.pages))

    def room(self, sequence: Sequence) -> int:
        """Tokens for which a sequence has or may take pages."""
        return (len(sequence.pages) + self.blocks.available) * self._size

    def grow(self, sequence: Sequence, pages: int) -> None:
        """Take pages, those it was promised first."""
        redeemed = min(pages, sequence.promised)
        self.blocks.redeem(redeemed)
        sequence.promised -= redeemed
        sequence.pages += self.blocks.take(pages)

    def commit(self, sequence: Sequence, computed: int) -> None:
        """Let pages be found that became full with the first `computed` tokens, all known."""
        full = computed // self._size
        for index in range(sequence.committed, full):
            self.blocks.commit(sequence.pages[index], self._hash(sequence, index))
        sequence.committed = full

    def give_back(self, sequence: Sequence, *, keep: bool = True) -> None:
        self.returns += 1
        self.blocks.give_back(sequence.pages, keep=keep)
        self.blocks.redeem(sequence.promised)
        self.host.done(sequence.away)
        sequence.pages, sequence.away, sequence.promised = [], [], 0
        sequence.computed = sequence.committed = sequence.awaited = 0

    def _asked(self, sequence: Sequence) -> range:
        """Pages that may be found."""
        return range(0 if sequence.whole else (len(sequence.tokens) - 1) // self._size)

    def _hash(self, sequence: Sequence, index: int) -> bytes:
        """Hash pages up to this one, each once in a sequence's life."""
        size, hashes = self._size, sequence.hashes
        for page in range(len(hashes), index + 1):
            tokens = sequence.tokens[page * size : (page + 1) * size]
            hashes.append(chain(hashes[-1] if hashes else sequence.salt, tokens))
        return hashes[index]
