"""The pages of sequences: found again, shared, grown, given back."""

from serve_app.engine.blocks import Blocks, chain
from serve_app.engine.limits import Limits
from serve_app.engine.sequence import Sequence


class Pages:
    """Keeps the books of one KV cache together with those of the sequences."""

    def __init__(self, limits: Limits) -> None:
        self.blocks = Blocks(limits.pages)
        self.returns = 0  # grows whenever pages come back
        self._limits = limits
        self._size = limits.page_tokens

    def known(self, sequence: Sequence) -> list[int]:
        """Cached pages of all but the last token, which must be computed to draw the next."""
        if sequence.whole:
            return []
        full = (len(sequence.tokens) - 1) // self._size
        return self.blocks.match(self._hash(sequence, index) for index in range(full))

    def hold(self, sequence: Sequence, reused: list[int], fresh: int) -> None:
        """Begin with pages whose tokens are computed; ask `blocks.can_take` before."""
        sequence.pages = self.blocks.take(fresh, reused)
        sequence.committed = len(reused)
        sequence.computed = len(reused) * self._size

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

    def grow(self, sequence: Sequence, pages: int) -> None:
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
        sequence.pages = []
        sequence.computed = sequence.committed = sequence.awaited = 0

    def _hash(self, sequence: Sequence, index: int) -> bytes:
        """Hash pages up to this one, each once in a sequence's life."""
        size, hashes = self._size, sequence.hashes
        for page in range(len(hashes), index + 1):
            tokens = sequence.tokens[page * size : (page + 1) * size]
            hashes.append(chain(hashes[-1] if hashes else sequence.salt, tokens))
        return hashes[index]
