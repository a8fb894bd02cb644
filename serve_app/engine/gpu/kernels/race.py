"""Draw a token a row: the likeliest, or the winner of a race in which chances are head starts.

The largest of logit / temperature + noise, noise from a Gumbel distribution, is a draw from the
softmax. The noise depends on the row's seed, the token's place and its id, and on nothing else.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from serve_app.engine.gpu.kernels.early import early, wait

UNSOUND = -1  # the token of a row whose logits have no largest number

_BLOCK = 4096  # logits a program


@dataclass(frozen=True, slots=True)
class Odds:
    """How each of B rows draws."""

    temperatures: Tensor  # [B] float32; 0: the likeliest
    seeds: Tensor  # [B] int32
    places: Tensor  # [B] int32: of the token to draw
    floors: Tensor | None  # [B] float32: logits below are out


def race(logits: Tensor, odds: Odds | None, seats: Tensor, last: Tensor) -> Tensor:
    """Return a token a row of `logits` [B, V]: [B] int32, UNSOUND where there is none.

    The tokens are also left in `last` [S] int32 by `seats` [B] int32, for the next step to find.
    """
    rows, words = logits.shape
    blocks = triton.cdiv(words, _BLOCK)
    floors = None if odds is None else odds.floors
    best = logits.new_empty(rows, blocks, dtype=torch.float32)
    tokens = logits.new_empty(rows, blocks, dtype=torch.int32)
    winners = logits.new_empty(rows, dtype=torch.int32)
    _heats[(rows, blocks)](
        logits,
        logits if odds is None else odds.temperatures,
        logits if odds is None else odds.seeds,
        logits if odds is None else odds.places,
        logits if floors is None else floors,
        best,
        tokens,
        words,
        BLOCK=_BLOCK,
        DRAWS=odds is not None,
        CUTS=floors is not None,
        **early(logits),
        num_warps=8,
    )
    block = triton.next_power_of_2(blocks)
    _final[(rows,)](best, tokens, winners, seats, last, blocks, BLOCK=block, **early(logits))
    return winners


@triton.jit(do_not_specialize_on_alignment=["temperatures", "seeds", "places", "floors"])
def _heats(
    logits,  # [B, words]
    temperatures,  # [B]
    seeds,  # [B]
    places,  # [B]
    floors,  # [B]
    best,  # [B, blocks]
    tokens,  # [B, blocks]
    words,
    BLOCK: tl.constexpr,
    DRAWS: tl.constexpr,
    CUTS: tl.constexpr,
    EARLY: tl.constexpr,
):
    wait(EARLY)
    row = tl.program_id(0)
    block = tl.program_id(1)
    token = block * BLOCK + tl.arange(0, BLOCK)
    inside = token < words
    start = row.to(tl.int64) * words
    x = tl.load(logits + start + token, mask=inside, other=float("-inf")).to(tl.float32)
    wrong = (x != x) | (x == float("inf"))  # noqa: PLR0124 - so is what is not a number
    broken = tl.max(wrong.to(tl.int32), 0)
    x = tl.where(wrong, float("-inf"), x)
    if DRAWS:
        temperature = tl.load(temperatures + row)
        if CUTS:
            x = tl.where(x < tl.load(floors + row), float("-inf"), x)
        if temperature > 0:
            place = tl.load(places + row).to(tl.int64)
            seed = tl.load(seeds + row).to(tl.int64) + place * 0x9E3779B1
            chance = tl.maximum(tl.rand(seed, token), 1e-12)
            x = x / temperature - tl.log(-tl.log(chance))
    value, winner = tl.max(x, 0, return_indices=True)
    at = row * tl.num_programs(1) + block
    tl.store(best + at, tl.where(broken > 0, float("inf"), value))
    tl.store(tokens + at, block * BLOCK + winner)


@triton.jit(do_not_specialize_on_alignment=["winners", "seats"])
def _final(best, tokens, winners, seats, last, blocks, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    wait(EARLY)
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(best + row * blocks + at, mask=at < blocks, other=float("-inf"))
    value, winner = tl.max(x, 0, return_indices=True)
    token = tl.load(tokens + row * blocks + winner)
    sound = (value < float("inf")) & (value > float("-inf"))
    tl.store(winners + row, tl.where(sound, token, -1))
    tl.store(last + tl.load(seats + row), tl.where(sound, token, 0))


def plain_race(logits: Tensor, odds: Odds | None) -> Tensor:
    """What `race` computes for rows that take the likeliest token."""
    stays = logits.float()
    if odds is not None and odds.floors is not None:
        stays = stays.masked_fill(stays < odds.floors[:, None], -torch.inf)
    best, tokens = stays.max(-1)
    sound = best.isfinite() & logits.isnan().logical_not().all(-1)
    return torch.where(sound, tokens, UNSOUND).int()
