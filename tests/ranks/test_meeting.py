"""Whether ranks share their GPUs' memory: the first one decides for all."""

import pytest
import torch
from torch._C._distributed_c10d import HashStore

from serve_app.engine.ranks import meeting
from serve_app.engine.ranks.meeting import Seat
from serve_app.engine.ranks.symmetric import Symmetric


@pytest.fixture(autouse=True)
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda one, other: one != other)


def decisions(ranks: int) -> list[bool]:
    store = HashStore()
    return [meeting._share_memory(store, Seat(rank, ranks, 0)) for rank in range(ranks)]


def test_ranks_whose_gpus_reach_each_other_share_their_memory() -> None:
    assert decisions(4) == [True] * 4


def test_no_rank_shares_memory_if_one_pair_of_gpus_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda *pair: pair != (2, 1))

    assert decisions(4) == [False] * 4


def test_a_process_that_shared_memory_before_does_not_wait_for_ranks_that_are_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Symmetric, "was_made", True)

    assert decisions(2) == [False, False]
