"""What the kernel of single tokens is compiled for, and into how many splits it cuts a past."""

from functools import cache
from typing import NamedTuple

import triton

from serve_app.engine.gpu.kernels.card import FULL
from serve_app.engine.gpu.kernels.softmax import LIFT
from serve_app.engine.gpu.step import Heads

_TILE = 64  # tokens looked at in one turn of the loop
_ENOUGH = 2 * FULL  # programs to which a few rows are cut
_SPLITS = (1, 2, 4, 8, 32, 128, 256)  # each is compiled once
_MOST = _SPLITS[-1]
_MERGED = 32  # splits up to which one program merges them fast enough
_TENSOR_ROWS = 16  # rows a tensor core takes at once


class Shape(NamedTuple):
    """What the kernel is compiled for; a tuple, which Triton can tell its hooks in JSON."""

    group: int  # query heads that share a key head
    block: int  # the same, filled up for the tensor cores
    keys: int  # key heads
    width: int  # numbers a head
    turned: int  # pairs of them that turn
    page: int  # tokens
    tile: int  # tokens
    aligned: bool  # each tile lies within one page
    splits: int
    merges: bool  # the last split that is done merges all
    stored: bool  # the new token was, before
    scaled: bool  # keys and values are kept in 8 bits
    lift: int  # doublings of each weight, and so of their sum
    card: bool


def splits_for(rows: int, heads: Heads) -> int:
    """Cut the past into so many programs that the card is full; known before the lengths are."""
    alone = rows * heads.keys
    if alone >= FULL:
        return 1
    return next((splits for splits in _SPLITS if splits > 1 and splits * alone >= _ENOUGH), _MOST)


@cache  # each layer asks
def shape_for(
    heads: Heads, turned: int, page: int, splits: int, *, stored: bool, scaled: bool, card: bool
) -> Shape:
    """Return what is compiled for these heads, of which so many pairs are `turned`."""
    return Shape(
        group=heads.group,
        block=max(_TENSOR_ROWS, triton.next_power_of_2(heads.group)),
        keys=heads.keys,
        width=heads.width,
        turned=turned,
        page=page,
        tile=_TILE,
        aligned=page % _TILE == 0,
        splits=splits,
        merges=1 < splits <= _MERGED,
        stored=stored,
        scaled=scaled,
        lift=LIFT if scaled else 0,
        card=card,
    )
