"""The softmax of attention over what is looked at piece by piece; weights are powers of 2.

What is `found` so far are three things of each row: its largest logit (`most` [ROWS]), the sum of
its weights (`total` [ROWS]), and of its values, each times its weight (`whole` [ROWS, WIDTH]). When
a larger logit comes, what was before it fades.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attend

from serve_app.engine.gpu.step import Heads, Kept

HIDDEN = tl.constexpr(-1e30)  # logit of what is not seen; finite, as two infinities make no number
LIFT = 10  # doublings that keep a weight times a scale among the numbers of float16


@triton.jit
def nothing(ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """What rows have found that have seen nothing."""
    most = tl.full([ROWS], HIDDEN, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    return most, total, tl.zeros([ROWS, WIDTH], tl.float32)


@triton.jit
def weigh(logits, most, LIFT: tl.constexpr):
    """Turn a piece's logits [ROWS, TILE] into weights: they, what those before fade by, `most`."""
    more = tl.maximum(most, tl.max(logits, 1) - LIFT)
    return tl.exp2(logits - more[:, None]), tl.exp2(most - more), more


@triton.jit
def add_part(found, sums, seen):
    """Add what others have `seen` [ROWS, WIDTH]; `sums` [ROWS] are log2 of their weights' sums."""
    most, total, whole = found
    more = tl.maximum(most, sums)
    fade, share = tl.exp2(most - more), tl.exp2(sums - more)
    whole = whole * fade[:, None] + seen * share[:, None]
    return more, total * fade + share, whole


def plain_look(query: Tensor, numbers: Tensor, place: int, heads: Heads, kept: Kept) -> Tensor:
    """Look with tokens `query` [n, H, d] of one sequence, the first at a `place`: [n, H, d]."""
    end = place + len(query)
    key, value = kept.gather(numbers, end, query.dtype)
    seen = torch.ones(len(query), end, dtype=torch.bool).tril(place)
    asks = query.transpose(0, 1)
    found = attend(asks, key, value, attn_mask=seen, scale=heads.scale, enable_gqa=True)
    return found.transpose(0, 1)
