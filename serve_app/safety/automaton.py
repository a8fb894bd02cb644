"""Aho-Corasick over letters, with the depth of each state open to the reader.

Our own, because the libraries (ahocorasick-rs, pyahocorasick) show matches but not the state:
the depth of the state is the number of letters that may still become a banned term, which is
exactly what a stream has to hold back.

All states live in three flat arrays and one dictionary of edges, so a list of 100,000 terms is
a few objects rather than a tree of them. State 0 is the root. Frozen once built; shared by all
answers of a process.
"""

from array import array
from collections.abc import Iterable, Iterator

from serve_app.safety.match import Term

_CODE_BITS = 21  # a code point fits, so state and letter make one integer key


class Automaton:
    """Finds every term that ends at a letter; one step a letter."""

    __slots__ = ("_edges", "_fail", "_terms", "depth", "nearest")

    def __init__(self, terms: Iterable[Term]) -> None:
        self._edges: dict[int, int] = {}
        self._terms: dict[int, Term] = {}
        self.depth = array("i", [0])
        for term in terms:
            self._insert(term)
        self._fail = array("i", bytes(self.depth.itemsize * len(self.depth)))
        self.nearest = array("i", self._fail)
        self._link()

    def step(self, state: int, letter: str) -> int:
        """Move to the state of the longest suffix that begins some term."""
        code = ord(letter)
        edges = self._edges
        while (target := edges.get(state << _CODE_BITS | code)) is None:
            if not state:
                return 0
            state = self._fail[state]
        return target

    def ending(self, state: int) -> Iterator[Term]:
        """Give the terms that end here, longest first."""
        state = self.nearest[state]
        while state:
            yield self._terms[state]
            state = self.nearest[self._fail[state]]

    def _insert(self, term: Term) -> None:
        state = 0
        for letter in term.letters:
            fresh = len(self.depth)
            key = state << _CODE_BITS | ord(letter)
            target = self._edges.setdefault(key, fresh)
            if target == fresh:
                self.depth.append(self.depth[state] + 1)
            state = target
        self._terms[state] = term

    def _link(self) -> None:
        """Point each state to its longest proper suffix and to its nearest term, shallow first."""
        edges = tuple(self._edges)  # in the order made, so edge n leads to state n + 1
        for state in sorted(range(1, len(self.depth)), key=self.depth.__getitem__):
            key = edges[state - 1]
            parent, letter = key >> _CODE_BITS, chr(key & ((1 << _CODE_BITS) - 1))
            if parent:
                self._fail[state] = self.step(self._fail[parent], letter)
            self.nearest[state] = state if state in self._terms else self.nearest[self._fail[state]]
