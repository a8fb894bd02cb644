"""What the output guard costs a token and how much it holds back, by size of the word list.

Named beside it, in the same run and on the same tokens: the floor (text passed through), and two
peers that do less: a fixed window searched with one regular expression of all terms, and a fixed
window whose every suffix is looked up in a set. Neither peer normalises or forgives a gap.
CPU time, best of three rounds; words and text are invented from the 3,755 commonest Chinese
characters by a seeded generator, so every run reads the same.

Run: python tests/bench/guard.py
"""

import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, product
from pathlib import Path
from typing import Protocol

import psutil
from rich.console import Console
from rich.table import Table

from serve_app.messages import ALLOWED, Verdict
from serve_app.safety.automaton import Automaton
from serve_app.safety.lexicon import load
from serve_app.safety.policy import OpenWindow
from serve_app.safety.window import Window

SIZES = (2_000, 20_000, 100_000)
TOKENS = 30_000
TOKEN_CHARACTERS = 2
ROUNDS = 3
REGEX_SHARE = 100  # the regular expression is so slow that it reads a hundredth of the tokens
LENGTHS = (2, 3, 3, 4, 4, 5, 6, 8)  # of invented words, in characters
AIM_US = 10.0


class Screen(Protocol):
    """What is timed."""

    verdict: Verdict

    def feed(self, text: str) -> str: ...


class FixedWindow:
    """A peer: keeps the longest term's length of text and searches it after every token."""

    def __init__(self, find: Callable[[str], object], longest: int) -> None:
        self.verdict = ALLOWED
        self._find = find
        self._longest = longest
        self._carry = ""

    def feed(self, text: str) -> str:
        self._carry += text
        self._find(self._carry)
        cut = max(0, len(self._carry) - self._longest + 1)
        out, self._carry = self._carry[:cut], self._carry[cut:]
        return out


@dataclass(frozen=True, slots=True)
class Row:
    """One list size; times in CPU microseconds a token, held text in raw characters."""

    terms: int
    build_s: float
    memory_mb: float
    floor_us: float
    guard_us: float
    regex_us: float
    set_us: float
    held_mean: float
    held_p99: int
    held_fixed: int
    blocks: int


def alphabet() -> list[str]:
    """Level 1 of GB 2312 by row and column."""
    codes = product(range(0xB0, 0xD8), range(0xA1, 0xFF))
    return [bytes(code).decode("gb2312") for code in codes if code < (0xD7, 0xFA)]


def invented_words(count: int, seed: int) -> list[str]:
    """Words whose characters are as unequally common as in a language."""
    rng = random.Random(seed)
    characters = alphabet()
    weights = list(accumulate(1 / (rank + 20) for rank in range(len(characters))))
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(rng.choices(characters, cum_weights=weights, k=rng.choice(LENGTHS)))] = None
    return list(words)


def text_tokens(count: int) -> list[str]:
    """A text of other words than the lists, a clause mark after every eighth."""
    rng = random.Random(7)
    words = invented_words(20_000, seed=5)
    text = "".join(
        rng.choice(words) + ("，" if rng.random() < 1 / 8 else "")
        for _ in range(count * TOKEN_CHARACTERS)
    )
    return [text[i * TOKEN_CHARACTERS :][:TOKEN_CHARACTERS] for i in range(count)]


def cpu_us(make: Callable[[], Screen], tokens: Sequence[str]) -> float:
    """Best round's CPU microseconds a token; a blocked answer is followed by a fresh one."""

    def one_round() -> float:
        screen, started = make(), time.process_time()
        for token in tokens:
            screen.feed(token)
            if screen.verdict is not ALLOWED:
                screen = make()
        return (time.process_time() - started) / len(tokens) * 1e6

    return min(one_round() for _ in range(ROUNDS))


def held(automaton: Automaton, tokens: Sequence[str]) -> Iterator[int | None]:
    """Characters held after each token; None for a block."""
    window, behind = Window(automaton, 16), 0
    for token in tokens:
        behind += len(token) - len(window.feed(token))
        if window.verdict is not ALLOWED:
            window, behind = Window(automaton, 16), 0
            yield None
        else:
            yield behind


def suffix_search(terms: Sequence[str]) -> Callable[[str], bool]:
    """Look up every stretch that ends in the last token."""
    known, longest = frozenset(terms), max(map(len, terms))

    def find(carry: str) -> bool:
        size = len(carry)
        return any(
            carry[end - length : end] in known
            for end in range(size - TOKEN_CHARACTERS + 1, size + 1)
            for length in range(1, min(longest, end) + 1)
        )

    return find


def measure(size: int, tokens: Sequence[str], folder: Path) -> Row:
    """Build one list and time everything over it."""
    terms = invented_words(size, seed=size)
    file = folder / "list.txt"
    file.write_text("\n".join(terms), "utf-8")
    memory, started = psutil.Process().memory_info().rss, time.process_time()
    automaton = load([file])
    build_s = time.process_time() - started
    memory = psutil.Process().memory_info().rss - memory
    longest = max(map(len, terms))
    regex = re.compile("|".join(map(re.escape, terms)))
    find = suffix_search(terms)
    few = tokens[: len(tokens) // REGEX_SHARE]
    behind = list(held(automaton, tokens))
    numbers = [number for number in behind if number is not None]
    return Row(
        terms=size,
        build_s=build_s,
        memory_mb=memory / 2**20,
        floor_us=cpu_us(OpenWindow, tokens),
        guard_us=cpu_us(lambda: Window(automaton, 16), tokens),
        regex_us=cpu_us(lambda: FixedWindow(regex.search, longest), few),
        set_us=cpu_us(lambda: FixedWindow(find, longest), tokens),
        held_mean=statistics.fmean(numbers),
        held_p99=sorted(numbers)[len(numbers) * 99 // 100],
        held_fixed=longest - 1,
        blocks=len(behind) - len(numbers),
    )


def show(rows: Sequence[Row]) -> None:
    """Print the table for people and one line of JSON for machines."""
    table = Table(
        title=f"Output guard, CPU us a token of {TOKEN_CHARACTERS} characters (aim {AIM_US:g})"
    )
    for heading in (
        "terms", "build s", "MB", "floor", "guard", "guard/floor", "regex window", "regex/guard",
        "set window", "set/guard", "held mean", "held p99", "held fixed", "blocks",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row.terms:,}",
            f"{row.build_s:.2f}",
            f"{row.memory_mb:.0f}",
            f"{row.floor_us:.2f}",
            f"{row.guard_us:.2f}",
            f"{row.guard_us / row.floor_us:.0f}x",
            f"{row.regex_us:.0f}",
            f"{row.regex_us / row.guard_us:.0f}x",
            f"{row.set_us:.2f}",
            f"{row.set_us / row.guard_us:.1f}x",
            f"{row.held_mean:.2f}",
            str(row.held_p99),
            str(row.held_fixed),
            str(row.blocks),
        )
    console = Console(width=150)
    console.print(table)
    console.print_json(
        json.dumps({"bench": "guard", "rows": [asdict(row) for row in rows]}), indent=None
    )


def main() -> None:
    """Measure every size."""
    tokens = text_tokens(TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        show([measure(size, tokens, Path(folder)) for size in SIZES])


if __name__ == "__main__":
    main()
