"""How chunks' looks at their past are shared out among programs. Pure; nothing is sent."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from serve_app.engine.gpu.far import Chunk
from serve_app.engine.gpu.ferry import Numbers
from serve_app.engine.gpu.kernels.card import FULL

LEAST = 1024  # tokens: shorter looks are over before a merge would be
GRAIN = 64  # tokens: parts begin at multiples of it

WHOLE = -1  # in place of a part's number


@dataclass(frozen=True, slots=True)
class Looks:
    """Blocks of chunks, each with all it sees, or with one part of several that are merged."""

    looks: Numbers  # [N, 5]: chunk, its block, first token seen, end, part; the longest come first
    merges: Numbers  # [M, 4]: chunk, its block, first part, parts
    parts: int


def share_out(chunks: Iterable[tuple[int, Chunk]], block: int, heads: int) -> Looks:
    """Cut numbered chunks into blocks, and these where they see more than a program's share.

    Each look is a program a head.
    """
    blocks = [
        (number, at // block, chunk.start + min(at + block, chunk.count))
        for number, chunk in chunks
        for at in range(0, chunk.count, block)
    ]
    share = -(-sum(end for *_, end in blocks) * heads // FULL)
    looks: list[tuple[int, ...]] = []
    merges: list[tuple[int, ...]] = []
    parts = 0
    for number, at, end in blocks:
        begins = range(0, end, _each(end, max(share, LEAST)))
        cut = len(begins) > 1
        if cut:
            merges.append((number, at, parts, len(begins)))
        for begin in begins:
            its_end = min(begin + begins.step, end)
            looks.append((number, at, begin, its_end, parts if cut else WHOLE))
            parts += cut
    looks.sort(key=lambda look: look[2] - look[3])
    return Looks(_table(looks, 5), _table(merges, 4), parts)


def _each(tokens: int, share: int) -> int:
    """Cut tokens evenly into parts that come nearest to a share: how long each is."""
    count = max(1, round(tokens / share))
    return -(-tokens // (count * GRAIN)) * GRAIN


def _table(rows: list[tuple[int, ...]], width: int) -> Numbers:
    return np.array(rows, np.int32).reshape(-1, width)
