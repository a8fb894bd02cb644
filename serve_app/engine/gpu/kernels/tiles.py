"""How a product of many rows is shared out: one wave of programs covers the weight."""

from dataclasses import dataclass
from functools import cache
from math import ceil

STEP = 64  # numbers of each row in a tile: 128 bytes, which TMA swizzles
# Rows of a tile, and from how many on it won against cuBLAS on an H200.
_ROWS = {64: 48, 128: 128}
_PIECES = 3  # powers of two that a program's columns are made of, at most
_MOST_COLUMNS = 208  # whose sums fit into registers
_BUSY = 0.85  # of the multiprocessors, at least
_SHARED = 226 * 1024  # bytes for tiles
_STAGES = 12  # tiles on their way, at most


@dataclass(frozen=True, slots=True)
class Tile:
    """What one program computes."""

    rows: int
    columns: int  # of the weight: for gate and up together, if gated
    splits: int  # programs that share columns: each adds up a part of the rows' numbers

    @property
    def pieces(self) -> tuple[int, int, int]:
        """The columns as powers of two, which is what tensors are made of."""
        powers = [1 << bit for bit in range(7, 2, -1) if self.columns >> bit & 1]
        first, second, third = powers + [0] * (_PIECES - len(powers))
        return first, second, third

    @property
    def stages(self) -> int:
        return min(_STAGES, _SHARED // ((self.rows + self.columns) * STEP * 2))

    def boxes(self, *, gated: bool) -> list[int]:
        """The weight's rows that TMA brings at once for each piece; gate and up come apart."""
        pieces = self.pieces
        return [(piece or pieces[0]) // (2 if gated else 1) for piece in pieces]


@cache
def tile_for(
    rows: int, columns: int, processors: int, *, gated: bool = False, splits: int = 1
) -> Tile | None:
    """Return a tile so wide that one wave of programs covers a weight, if there is one."""
    grain = 16 if gated else 8
    wide = ceil(columns / (max(processors // splits, 1) * grain)) * grain
    while wide.bit_count() > _PIECES:
        wide += grain
    high = next((high for high, least in _ROWS.items() if least <= rows <= high), None)
    busy = ceil(columns / wide) * splits / processors
    if high is None or not high <= 2 * wide <= 2 * _MOST_COLUMNS or not _BUSY <= busy <= 1:
        return None
    return Tile(high, wide, splits)
