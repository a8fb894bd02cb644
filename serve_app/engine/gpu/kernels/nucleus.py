"""The logit below which a token is out of a row's top_k, top_p or min_p.

No sorting: the floor is found bit by bit, for the order of float32 numbers is that of their bits.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Cuts:
    """What each of B rows leaves out."""

    temperatures: Tensor  # [B] float32, above 0 where top_p or min_p cut
    top_k: Tensor  # [B] int32; 0: all
    min_p: Tensor  # [B] float32, of the likeliest token's chance; 0: all
    top_p: Tensor  # [B] float32, of what the others leave; 1: all


def floors(logits: Tensor, cuts: Cuts) -> Tensor:
    """Return the least logit of `logits` [B, V] that stays in each row: [B] float32.

    Tokens as likely as the last one that stays, stay too.
    """
    rows, words = logits.shape
    out = logits.new_empty(rows, dtype=torch.float32)
    _floors[(rows,)](
        logits,
        cuts.temperatures,
        cuts.top_k,
        cuts.min_p,
        cuts.top_p,
        out,
        words,
        BITS=32 if logits.dtype == torch.float32 else 16,
        BLOCK=_BLOCK,
        num_warps=16,
    )
    return out


@triton.jit(do_not_specialize_on_alignment=["temperatures", "top_k", "min_p", "top_p"])
def _floors(
    logits,  # [B, words] bfloat16 or float32
    temperatures,
    top_k,
    min_p,
    top_p,
    out,
    words,
    BITS: tl.constexpr,  # of a logit that can differ
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    line = logits + row.to(tl.int64) * words
    warmth = 1 / tl.maximum(tl.load(temperatures + row), 1e-4)
    count = tl.load(top_k + row)
    share = tl.load(top_p + row)
    least = tl.load(min_p + row)
    best = tl.full([BLOCK], float("-inf"), tl.float32)
    for begin in tl.range(0, words, BLOCK):
        best = tl.maximum(best, _part(line, begin, words, BLOCK))
    most = tl.max(best, 0)
    floor = most + tl.log(tl.maximum(least, 1e-30)) / warmth
    floor = tl.where(least > 0, floor, float("-inf"))
    if (count > 0) & (count < words):
        lowest = _search(line, words, most, warmth, count.to(tl.float32), 0.0, BITS, BLOCK)
        floor = tl.maximum(floor, lowest)
    if share < 1:
        whole = _weigh(line, words, most, warmth, floor, 1.0, BLOCK)
        lowest = _search(line, words, most, warmth, whole * share, 1.0, BITS, BLOCK)
        floor = tl.maximum(floor, lowest)
    tl.store(out + row, floor)


@triton.jit
def _search(line, words, most, warmth, wanted, by_weight, BITS: tl.constexpr, BLOCK: tl.constexpr):
    """Find the largest floor over which there is as much as wanted: tokens, or their weight."""
    rank = tl.full([], 0, tl.uint32)
    bit = tl.full([], 0x80000000, tl.uint32)
    for _ in tl.range(0, BITS):
        held = _weigh(line, words, most, warmth, _number(rank | bit), by_weight, BLOCK)
        rank = tl.where(held >= wanted, rank | bit, rank)
        bit = bit >> 1
    return _number(rank)


@triton.jit
def _number(rank):
    """Turn a place in the order of all float32 numbers into the number."""
    positive = (rank >> 31) == 1
    bits = tl.where(positive, rank ^ 0x80000000, ~rank)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _weigh(line, words, most, warmth, floor, by_weight, BLOCK: tl.constexpr):
    """Count the tokens from the floor up, or add up their weights."""
    held = tl.zeros([BLOCK], tl.float32)
    for begin in tl.range(0, words, BLOCK):
        x = _part(line, begin, words, BLOCK)
        weight = tl.where(by_weight > 0, tl.exp((x - most) * warmth), 1.0)
        held += tl.where((x >= floor) & (x > float("-inf")), weight, 0.0)
    return tl.sum(held, 0)


@triton.jit
def _part(line, begin, words, BLOCK: tl.constexpr):
    at = begin + tl.arange(0, BLOCK)
    return tl.load(line + at, mask=at < words, other=float("-inf")).to(tl.float32)


def plain_floors(logits: Tensor, cuts: Cuts) -> Tensor:
    """What `floors` computes."""
    ordered = logits.float().sort(-1, descending=True).values
    rank = torch.arange(logits.shape[1])
    count = torch.where(cuts.top_k > 0, cuts.top_k, logits.shape[1])[:, None]
    stays = rank < count
    weights = ((ordered - ordered[:, :1]) / cuts.temperatures[:, None]).exp()
    stays &= weights >= cuts.min_p[:, None]
    reached = (weights * stays).cumsum(-1)
    stays &= reached - weights < cuts.top_p[:, None] * reached[:, -1:]
    return ordered.gather(-1, stays.sum(-1, keepdim=True) - 1)[:, 0]
