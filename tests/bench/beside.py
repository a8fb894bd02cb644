"""What chats notice of a document that is read beside them: the real scheduler on a clock of costs.

Costs of a step are those of docs/performance.md: one H200, GLM-4-9B's shape. Nothing is computed.

Chats come by chance; ten runs are told as one. Evenly: one as often, each as long after the last.

usage: python -m tests.bench.beside [--evenly] [seconds between two chats,...]
"""

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat

from serve_app.engine.batch import Batch
from serve_app.engine.draws import Draws
from serve_app.engine.limits import Limits
from serve_app.engine.scheduler import Scheduler
from serve_app.engine.sequence import Lane, Sequence
from serve_app.settings import EngineSettings

DOCUMENT, CHAT, ANSWER = 131_000, 512, 16
STEP_S = 4.7e-3  # at least: the weights are read
TOKEN_S = 26.9e-6  # 220.6 ms for 16 x 512
SEEN_S = 1.35e-9  # for each token and each that it sees: 131,000 tokens in 15.1 s
SLOWER = 1.5  # by our own kernel
FAR = 1793  # tokens of a chunk from which on cuDNN takes it
BETWEEN_S = (0.23, 0.06, 0.02)
ALONE_S = CHAT * TOKEN_S  # of a chat, to its first token
RUNS = 10


def cost_s(batch: Batch) -> float:
    total = len(batch.decodes) + sum(row.count for row in batch.chunks)
    seconds = max(STEP_S, TOKEN_S * total)
    for row in batch.chunks:
        if row.sequence.lane is Lane.LONG:
            each = SEEN_S if row.count >= FAR else SEEN_S * SLOWER
            seconds += each * row.count * (row.start + row.count / 2)
    return seconds


@dataclass
class Seen:
    """In seconds: when the document was read, the chats' first tokens, the longest step."""

    document: float = 0.0
    firsts: list[float] = field(default_factory=list)
    longest: float = 0.0


def run(between_s: float, seed: int, *, evenly: bool) -> Seen:
    dice, seen, clock = random.Random(seed), Seen(), 0.0
    gaps = repeat(between_s) if evenly else _by_chance(dice, between_s)
    books = Scheduler(_limits())
    document = Sequence([1] * DOCUMENT, 1)
    books.add(document)
    come, waiting = next(gaps), {}
    while not document.finished:
        while come <= clock:
            chat = Sequence([dice.randrange(10, 150_000) for _ in range(CHAT)], ANSWER)
            books.add(chat)
            waiting[chat] = come
            come += next(gaps)
        batch = books.schedule()
        seconds = cost_s(batch)
        clock += seconds
        seen.longest = max(seen.longest, seconds)
        books.apply(batch, Draws([7] * len(batch.drawing)), seconds)
        for row in batch.drawing:
            if row.sequence in waiting:
                seen.firsts.append(clock - waiting.pop(row.sequence))
    seen.document = clock
    return seen


def _by_chance(dice: random.Random, between_s: float) -> Iterator[float]:
    while True:
        yield dice.expovariate(1 / between_s)


def _limits() -> Limits:
    wide = {"page_tokens": 64, "kv_tokens": 3 * 131_072, "step_tokens": 8192, "max_running": 64}
    return Limits.of(EngineSettings(**wide, max_waiting=4096, max_waiting_tokens=10**7))


def main() -> None:
    evenly, said = "--evenly" in sys.argv, [one for one in sys.argv[1:] if one != "--evenly"]
    given = [float(each) for each in said[0].split(",")] if said else BETWEEN_S
    print("| seconds between chats | document, s | first token p50 / p99, ms | bound, ms |")
    print("| --- | --- | --- | --- |")
    for between_s in given:
        runs = [run(between_s, seed, evenly=evenly) for seed in range(RUNS)]
        firsts = sorted(first for seen in runs for first in seen.firsts)
        told = " / ".join(f"{1e3 * firsts[int(part * len(firsts))]:.0f}" for part in (0.5, 0.99))
        document = sum(seen.document for seen in runs) / RUNS
        bound = 2 * ALONE_S + sum(seen.longest for seen in runs) / RUNS
        print(f"| {between_s} | {document:.1f} | {told} | {1e3 * bound:.0f} |")


if __name__ == "__main__":
    main()
