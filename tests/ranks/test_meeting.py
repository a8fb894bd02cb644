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
    monkeypatch.setattr(Symmetric, "was_made", False)


def decisions(ranks: int) -> list[bool]:
    store = HashStore()
    return [meeting._share_memory(store, Seat(rank, ranks, 0)) for rank in range(ranks)]


def test_ranks_whose_gpus_reach_each_other_share_their_memory() -> None:
    assert decisions(4) == [True] * 4


def test_no_rank_shares_memory_if_one_pair_of_gpus_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "can_device_access_peer", lambda *pair: pair != (2, 1))

    assert decisions(4) == [False] * 4


@pytest.mark.parametrize("first", [True, False])
def test_others_do_as_the_first_one_says_whatever_they_have_done_before(
    monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    store = HashStore()
    monkeypatch.setattr(Symmetric, "was_made", first)
    decided = meeting._share_memory(store, Seat(0, 2, 0))
    monkeypatch.setattr(Symmetric, "was_made", not first)

    assert meeting._share_memory(store, Seat(1, 2, 0)) is decided
    assert decided is not first
