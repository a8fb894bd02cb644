"""Steps of single tokens, recorded once for each of some sizes and then replayed.

A step is some 240 small launches, which Python could not make as fast as the card runs them; a
recorded one is a single launch. Rows that only fill a size write to the trash page.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from serve_app.engine.gpu.ferry import Ferry, Numbers
from serve_app.engine.gpu.kernels.race import race
from serve_app.engine.gpu.stack import Stack, Step
from serve_app.engine.gpu.step import Lines

Drawn = tuple[Tensor, Tensor]  # logits [B, V], and the likeliest tokens [B] int32


def ladder(most: int) -> list[int]:
    """Sizes up to `most`: close where a row counts for much, wide apart where it does not."""
    steps = [1, 2, 4, 8, 16, *range(24, 64, 8), *range(64, 128, 16), *range(128, most, 32)]
    return [*(size for size in steps if size < most), most]


class Graphs:
    """Owns the recordings and the memory they read from and write to."""

    def __init__(
        self,
        stack: Stack,
        lines: Lines,
        last: Tensor,
        sizes: Sequence[int],
        *,
        checks: bool = False,
    ) -> None:
        """`lines` has the page table and the turns; its last seat is for rows that only fill.

        `checks`: whether rows may be of one sequence, as those of a draft are.
        """
        self._checks = checks
        self._sizes = sorted(sizes)
        self._spare_seat = len(lines.table) - 1
        self._numbers = last.new_zeros(3 * self._sizes[-1])
        self._ferry = Ferry(last.device)
        self._replays: dict[int, Callable[[], Drawn]] = {}
        pool = torch.cuda.graph_pool_handle()
        for size in reversed(self._sizes):  # the largest first: the others fit into its memory
            self._replays[size] = _record(self._body(size, stack, lines, last), pool)

    def __len__(self) -> int:
        return len(self._replays)

    @property
    def most(self) -> int:
        return self._sizes[-1]

    def run(self, numbers: Numbers) -> Drawn:
        """Compute tokens, places and seats [3, B]; what is returned lives until the next run."""
        rows = numbers.shape[1]
        size = self._sizes[bisect_left(self._sizes, rows)]
        padded = np.zeros((3, size), np.int32)
        padded[:, :rows] = numbers
        padded[2, rows:] = self._spare_seat
        self._ferry.fill(self._numbers[: 3 * size], padded.ravel())
        logits, tokens = self._replays[size]()
        return logits[:rows], tokens[:rows]

    def _body(self, size: int, stack: Stack, lines: Lines, last: Tensor) -> Callable[[], Drawn]:
        tokens, places, seats = self._numbers[: 3 * size].view(3, size)
        seats.fill_(self._spare_seat)
        step = Step(tokens, replace(lines, seats=seats, places=places), size, checks=self._checks)

        def compute() -> Drawn:
            logits = stack.logits(step)
            return logits, race(logits, None, seats, last)

        return compute


def _record(compute: Callable[[], Drawn], pool: Any) -> Callable[[], Drawn]:
    """Run once, so that every kernel is compiled, then record."""
    compute()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        results = compute()

    def replay() -> Drawn:
        graph.replay()
        return results

    return replay
