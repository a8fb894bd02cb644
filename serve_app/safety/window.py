"""The hold-back: text leaves as soon as no part of it can become a banned term.

After each letter the depth of the automaton's state says how many letters begin some term; they
are held, everything before them may leave. A match that a following letter could still undo
(`ass` in `assume`) makes its last letter doubtful: text is never cut right behind a doubtful
letter, so what has left at any moment is clean by itself, also if nothing follows.
"""

from serve_app.messages import ALLOWED, Action, Verdict
from serve_app.safety.automaton import Automaton
from serve_app.safety.lexicon import GAPS
from serve_app.safety.match import Gap, spaced, stands
from serve_app.safety.normalise import FIRST_LETTER, normalise


class Window:
    """Screens one text that arrives in pieces; owned by one answer or one message.

    The three lists hold, for each letter that has not left: its raw offset from the start of
    the held text, the gap before it, and whether it is doubtful.
    """

    __slots__ = (
        "_automaton", "_doubts", "_end", "_gap", "_gaps", "_held", "_max_skipped", "_offsets",
        "_skipped", "_spaced", "_state", "verdict",
    )  # fmt: skip

    def __init__(self, automaton: Automaton, max_skipped: int) -> None:
        self.verdict: Verdict = ALLOWED
        self._automaton = automaton
        self._max_skipped = max_skipped
        self._held = ""
        self._end = 0  # raw characters of the held text that have been read
        self._state = 0
        self._offsets: list[int] = []
        self._gaps: list[Gap] = []
        self._doubts: list[bool] = []
        self._gap = Gap.CLAUSE  # before the next letter
        self._spaced = False  # the script of the last letter
        self._skipped = 0  # raw characters since the last letter

    def feed(self, text: str) -> str:
        """Read a piece; give the text that may leave. After a block that is nothing, ever."""
        if self._is_blocked():
            return ""
        self._held += text
        for character in text:
            self._read(character)
            if self._is_blocked():
                return self._withhold()
        return self._release(self._cut())

    def close(self) -> str:
        """End the text; give what was held, unless the end completes a banned term."""
        if self._is_blocked():
            return ""
        self._pause(Gap.CLAUSE)
        return self._withhold() if self._is_blocked() else self._release(self._end)

    def _is_blocked(self) -> bool:
        return self.verdict.action is Action.BLOCK

    def _read(self, character: str) -> None:
        self._skipped += 1
        for symbol in normalise(character):
            if symbol >= FIRST_LETTER:
                self._letter(symbol)
            else:
                self._pause(GAPS[symbol])
        self._end += 1
        if self._skipped > self._max_skipped:
            self._pause(Gap.CLAUSE)
            self._state = 0
        if not self._state:
            self._forget(len(self._offsets))

    def _letter(self, letter: str) -> None:
        is_spaced = spaced(letter)
        if self._gap is Gap.NONE and is_spaced is not self._spaced:
            self._pause(Gap.SCRIPT)
        self._offsets.append(self._end)
        self._gaps.append(self._gap)
        self._state = self._automaton.step(self._state, letter)
        self._gap, self._spaced, self._skipped = Gap.NONE, is_spaced, 0
        self._doubts.append(self._automaton.ends(self._state) and self._is_doubtful())

    def _pause(self, gap: Gap) -> None:
        """Note what stands behind the last letter; a doubt about it is settled now."""
        if self._doubts and self._doubts[-1]:
            self._judge(gap)
        self._gap = max(self._gap, gap)

    def _is_doubtful(self) -> bool:
        """Block what stands whatever follows; tell whether the text may not end here."""
        return not self._judge(Gap.NONE) and self._match(Gap.CLAUSE) is not None

    def _judge(self, after: Gap) -> bool:
        rule = self._match(after)
        if rule is not None and self.verdict is ALLOWED:
            self.verdict = Verdict(Action.BLOCK, rule)
        return rule is not None

    def _match(self, after: Gap) -> str | None:
        gaps = [*self._gaps, after]
        for term in self._automaton.ending(self._state):
            if stands(term, gaps[-len(term.letters) - 1 :]):
                return term.rule
        return None

    def _cut(self) -> int:
        """Find the raw offset behind the last character that may leave."""
        offsets = self._offsets
        first = len(offsets) - self._automaton.depth[self._state]
        while first > 0 and self._may_not_cut(first):
            first -= 1
        cut = offsets[first] if first < len(offsets) else self._end
        self._forget(first)
        return cut

    def _may_not_cut(self, first: int) -> bool:
        """Tell whether a raw character or a doubt ties letter `first` to the one before."""
        before = first - 1
        one_character = first < len(self._offsets) and self._offsets[before] == self._offsets[first]
        return one_character or self._doubts[before]

    def _forget(self, letters: int) -> None:
        del self._offsets[:letters], self._gaps[:letters], self._doubts[:letters]

    def _release(self, cut: int) -> str:
        text, self._held = self._held[:cut], self._held[cut:]
        self._offsets = [offset - cut for offset in self._offsets]
        self._end -= cut
        return text

    def _withhold(self) -> str:
        self._held = ""
        self._forget(len(self._offsets))
        return ""
