"""Programs that share a result, interpreted on a CPU."""

from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from serve_app.engine.gpu.kernels.arrivals import arrivals, has_come_last

CPU = torch.device("cpu")


@triton.jit
def _come(counters: Any, was_last: Any) -> None:
    result, program = tl.program_id(0), tl.program_id(1)
    is_last = has_come_last(counters + result, tl.num_programs(1))
    tl.store(was_last + result * tl.num_programs(1) + program, is_last)


@pytest.mark.parametrize("programs", [1, 2, 8])
def test_one_program_of_each_result_comes_last_kernel_after_kernel(programs: int) -> None:
    for results in (3, 1, 7):
        was_last = torch.zeros(results, programs, dtype=torch.bool)
        _come[(results, programs)](arrivals(CPU, results, programs), was_last)
        assert was_last.sum(1).tolist() == [1] * results
        assert not arrivals(CPU, results, programs).any()


def test_more_results_than_are_counted_are_refused_where_programs_share_them() -> None:
    few = len(arrivals(CPU, 1, 2))
    arrivals(CPU, few, 2)
    arrivals(CPU, few + 1, 1)
    with pytest.raises(ValueError, match="shared by 2 programs"):
        arrivals(CPU, few + 1, 2)
