"""KV pages: who holds them, which are worth keeping, which go first.

Every page is in exactly one place: free, cached (full, nobody holds it, still found by
its hash) or held by one or more sequences. The longest unused cached page goes first, to
the host's memory if there is room for pages.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from serve_app.engine.host_pool import HostPool

_HASH_BYTES = 16


def chain(previous: bytes, tokens: Sequence[int]) -> bytes:
    """Hash a full page together with all before it; a chain starts from a salt."""
    return blake2b(previous + array("q", tokens).tobytes(), digest_size=_HASH_BYTES).digest()


class Blocks:
    """The pages of one KV cache, by number; holds no tensors."""

    def __init__(self, total: int, host: HostPool | None = None) -> None:
        self.total = total
        self.host = host or HostPool()
        self._promised = 0
        self._free = list(range(total - 1, -1, -1))
        self._holders = [0] * total
        self._cached: OrderedDict[int, None] = OrderedDict()  # oldest first
        self._page_of: dict[bytes, int] = {}
        self._hash_of: dict[int, bytes] = {}

    @property
    def available(self) -> int:
        """Pages that can be taken now, cached ones included, promised ones not."""
        return len(self._free) + len(self._cached) - self._promised

    def match(self, hashes: Iterable[bytes]) -> list[int]:
        """Pages that hold the longest known beginning; takes nothing, asks no further."""
        pages: list[int] = []
        for key in hashes:
            page = self._page_of.get(key)
            if page is None:
                break
            pages.append(page)
        return pages

    def can_take(self, count: int, reused: Sequence[int] = ()) -> bool:
        """Tell whether `count` fresh pages are left once the reused ones are held."""
        return count <= self.available - sum(page in self._cached for page in reused)

    def promise(self, count: int) -> None:
        """Keep room for pages that are taken later; ask `can_take` before."""
        self._promised += count

    def redeem(self, count: int) -> None:
        """End a promise of so many pages: they are taken now, or not at all."""
        self._promised -= count

    def take(self, count: int, reused: Sequence[int] = ()) -> list[int]:
        """Hold the reused pages and `count` fresh ones; ask `can_take` before."""
        for page in reused:
            self._cached.pop(page, None)
            self._holders[page] += 1
        fresh = [self._fresh() for _ in range(count)]
        return [*reused, *fresh]

    def commit(self, page: int, key: bytes) -> None:
        """Let a full page be found by its hash; of two equal pages the first stays."""
        if key not in self._page_of and page not in self._hash_of:
            self._page_of[key] = page
            self._hash_of[page] = key

    def give_back(self, pages: Sequence[int], *, keep: bool = True) -> None:
        """Let go; what nobody holds is cached if it has a hash and `keep`, else free.

        The end of a sequence is let go first, so that beginnings live longest.
        """
        for page in reversed(pages):
            self._holders[page] -= 1
            if not keep:
                self._distrust(page)
            if self._holders[page] == 0:
                self._rest(page)

    def check(self) -> None:
        """Raise RuntimeError unless every page is in exactly one place."""
        held = {page for page, holders in enumerate(self._holders) if holders > 0}
        places = [*self._free, *self._cached, *held]
        hashes_agree = self._page_of == {key: page for page, key in self._hash_of.items()}
        sound = min(self._holders, default=0) >= 0 and set(self._cached) <= set(self._hash_of)
        kept = 0 <= self._promised <= len(self._free) + len(self._cached)
        if sorted(places) != list(range(self.total)) or not (hashes_agree and sound and kept):
            raise RuntimeError("The books of the KV pages do not balance.")
        self.host.check()

    def _fresh(self) -> int:
        if not self._free:
            oldest, _ = self._cached.popitem(last=False)
            self.host.store(self._hash_of[oldest], oldest)
            self._forget(oldest)
            self._free.append(oldest)
        page = self._free.pop()
        self._holders[page] = 1
        return page

    def _rest(self, page: int) -> None:
        if page in self._hash_of:
            self._cached[page] = None
        else:
            self._free.append(page)

    def _distrust(self, page: int) -> None:
        """Neither here nor in the host's memory is it found again."""
        key = self._hash_of.get(page)
        if key is not None:
            self.host.forget(key)
            self._forget(page)

    def _forget(self, page: int) -> None:
        key = self._hash_of.pop(page, None)
        if key is not None:
            del self._page_of[key]
