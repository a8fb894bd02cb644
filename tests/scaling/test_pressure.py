"""The number of replicas follows what is in hand and what waits."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.messages import EngineStats
from serve_app.scaling import WAITING_TOKENS, Pressure, room, told


@dataclass
class Look:
    """What Serve's controller knows."""

    total_num_requests: float = 0.0
    aggregated_metrics: dict[str, dict[str, float]] | None = field(default=None)


def wanted(requests: float, *waiting: float) -> int:
    each = {str(number): tokens for number, tokens in enumerate(waiting)}
    count, state = Pressure(requests=10, waiting_tokens=1000)(
        Look(requests, {WAITING_TOKENS: each} if waiting else None)
    )
    assert state == {}
    return count


@pytest.mark.parametrize(("requests", "count"), [(0, 0), (1, 1), (10, 1), (11, 2), (95, 10)])
def test_requests_in_hand_are_shared_out(requests: float, count: int) -> None:
    assert wanted(requests) == count


def test_prompts_that_wait_are_summed_over_all_replicas() -> None:
    assert wanted(1, 900, 900, 900) == 3


def test_the_greater_pressure_counts() -> None:
    assert wanted(40, 1500) == 4
    assert wanted(10, 5500) == 6


def test_a_replica_that_tells_nothing_is_no_pressure() -> None:
    assert wanted(5) == 1


@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6), max_size=8), st.floats(0, 1e6))
def test_more_pressure_never_means_fewer(now: float, waiting: list[float], more: float) -> None:
    assert wanted(now + more, *waiting) >= wanted(now, *waiting)


def test_a_replica_tells_the_tokens_that_wait() -> None:
    assert told(EngineStats(waiting_tokens=7)) == {WAITING_TOKENS: 7}


@pytest.mark.parametrize(
    ("gpus", "there", "count"),
    [(2, 4, 2), (2, 5, 2), (2, 1, 0), (1, 3, 3), (0.5, 2, 4), (0.6, 2, 2), (0.5, 0, 0)],
)
def test_replicas_share_a_gpu_or_have_whole_ones(gpus: float, there: int, count: int) -> None:
    assert room(gpus, there) == count
