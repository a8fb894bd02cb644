"""Which of the programs that share a result comes last, to add up what all have stored.

The kernels of a device share one buffer of counters: its stream runs one after another, and each
leaves zeros behind. A kernel that was launched early counts only after its `wait`, when those
before it have ended.
"""

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

_MOST = 1 << 10  # results that are shared at once: beyond, they fill a card unshared


def arrivals(device: torch.device, results: int, programs: int) -> Tensor:
    """Return a counter for each of `results`, int32 [>= results], where `programs` share each.

    One program alone counts nothing. Raises ValueError if more are shared than there are counters.
    """
    if programs > 1 and results > _MOST:
        raise ValueError(f"{results} results are shared by {programs} programs each")
    return _counters(device)


@cache
def _counters(device: torch.device) -> Tensor:
    return torch.zeros(_MOST, dtype=torch.int32, device=device)


@triton.jit
def has_come_last(arrived, programs):
    """Count this program once it has stored its part; the last of them sets the counter back."""
    tl.debug_barrier()  # all of the program's threads have
    is_last = tl.atomic_add(arrived, 1) == programs - 1
    if is_last:
        tl.store(arrived, 0)
    return is_last


@triton.jit
def sum_parts(part, mask, stride, PARTS: tl.constexpr):
    """Add up what all programs have stored, always in the same order.

    It is read past the cache of this multiprocessor.
    """
    whole = tl.load(part, mask=mask, other=0.0, cache_modifier=".cg")
    for other in tl.static_range(1, PARTS):
        whole += tl.load(part + other * stride, mask=mask, other=0.0, cache_modifier=".cg")
    return whole
