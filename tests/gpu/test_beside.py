"""Copies beside the steps, by a stream that is as late as it may be."""

import random
from collections import deque
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from serve_app.engine.gpu.ferry import Ferry
from serve_app.engine.gpu.offload import Part, SideOffload, runs
from serve_app.engine.moves import NOTHING, Moves
from serve_app.engine.offload import Offload, words

PAGES, SLOTS, MOST = 24, 16, 4


class Lazy:
    """A stream whose copies run when somebody waits for them, and no sooner."""

    def __init__(self) -> None:
        self._queued: deque[Callable[[], None]] = deque()
        self._begun = self._done = 0

    def run(self, copies: Callable[[], None]) -> int:
        self._queued.append(copies)
        self._begun += 1
        return self._begun

    def wait(self, mark: int) -> None:
        while self._done < mark:
            self._queued.popleft()()
            self._done += 1


def cache(dtype: torch.dtype) -> list[Tensor]:
    """Pages [layers, pages, 2, K, P, d], with scales if they are in 8 bits."""
    shape = (2, PAGES, 2, 2, 4)
    generator = torch.Generator().manual_seed(0)
    pages = torch.randn(*shape, 8, generator=generator).to(dtype)
    scaled = dtype == torch.float8_e4m3fn
    return [pages, torch.randn(shape, generator=generator)] if scaled else [pages]


def beside(parts: list[Tensor]) -> SideOffload:
    seen = [words(part) for part in parts]
    kept = [torch.zeros(SLOTS, len(part), part.shape[-1], dtype=part.dtype) for part in seen]
    held = [Part(*each, MOST) for each in zip(seen, kept, strict=True)]
    return SideOffload(held, MOST, Lazy(), Ferry(torch.device("cpu")))


def pairs(chance: random.Random, begin: int, end: int, most: int) -> list[tuple[int, int]]:
    count = chance.randrange(most + 1)
    return list(
        zip(chance.sample(range(begin), count), chance.sample(range(end), count), strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
def test_pages_are_where_they_would_be_had_they_been_moved_at_once(dtype: torch.dtype) -> None:
    chance = random.Random(0)
    wanted, found = cache(dtype), cache(dtype)
    at_once, late = Offload(wanted, SLOTS), beside(found)
    for kept in at_once._kept:
        kept.zero_()
    late.move(NOTHING)
    for step in range(200):
        stores = pairs(chance, PAGES, SLOTS, 3 * MOST)
        loads = pairs(chance, SLOTS, PAGES, MOST)
        at_once.move(Moves(stores, loads))
        late.move(Moves(stores, loads))
        late.move(NOTHING)
        written = chance.randrange(PAGES)
        for part in (*wanted, *found):
            part[:, written] = torch.full_like(part[:, written].float(), step).to(part.dtype)
        for one, other in zip(wanted, found, strict=True):
            assert torch.equal(words(one), words(other))


def test_what_comes_back_lies_in_its_pages_when_the_next_step_begins() -> None:
    parts = cache(torch.float32)
    offload, before = beside(parts), parts[0].clone()
    offload.move(Moves(stores=[(3, 5)]))
    parts[0].zero_()
    offload.move(Moves(loads=[(5, 9)]))
    assert not parts[0].any()
    offload.move(Moves(stores=[(9, 0)]))
    assert torch.equal(parts[0][:, 9], before[:, 3])


def test_slots_side_by_side_are_copied_together() -> None:
    assert list(runs([2, 3, 4, 8, 10, 11])) == [(0, 2, 3), (3, 8, 1), (4, 10, 2)]
    assert list(runs([])) == []
