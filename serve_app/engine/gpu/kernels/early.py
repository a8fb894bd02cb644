"""Programmatic dependent launch: a kernel starts while the one before it ends (Hopper and later).

What does not depend on the kernel before, such as reading weights, is done before `wait`.
"""

import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from serve_app.engine.gpu.kernels.card import HOPPER, generation


def early(x: Tensor, *, busy: bool = False) -> dict[str, bool]:
    """Return launch options for a kernel that works on the rows of `x`.

    Only for one row, or where the kernel before keeps every multiprocessor `busy` with one program
    each: kernels that wait take room from those that work.
    """
    if x.is_cuda and (busy or len(x) == 1) and generation(x.device) >= HOPPER:
        return {"EARLY": True, "launch_pdl": True}
    return {"EARLY": False}


@triton.jit
def wait(EARLY: tl.constexpr):
    """Let the next kernel come, and wait until all before have written what they write."""
    if EARLY:
        gdc_launch_dependents()
        gdc_wait()
