"""Microseconds of a sum over ranks inside a recording: symmetric memory against NCCL."""

from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore

from serve_app.engine.ranks import Ranks
from serve_app.engine.ranks.grouped import Grouped
from serve_app.engine.ranks.meeting import Seat, host, take_card, visit
from serve_app.engine.ranks.symmetric import Room, Symmetric

ROWS = (1, 8, 32, 128, 256, 2048)
_WIDTH = 4096
_SUMS, _REPEATS = 80, 5  # as many sums as a step has


def measure(cards: int) -> list[dict[str, float]]:
    """Return a line for each number of rows."""
    context, book = get_context("spawn"), host()
    lines = context.Queue()
    seats = [Seat(rank, cards, book.port) for rank in range(cards)]
    others = [context.Process(target=_measure, args=(seat, lines)) for seat in seats]
    for each in others:
        each.start()
    found = [lines.get(timeout=120) for _ in ROWS]
    for each in others:
        each.join()
    return found


def _measure(seat: Seat, lines: Any) -> None:
    take_card(seat, "cuda")
    device = torch.device("cuda", seat.rank)
    book = visit(seat)
    like = torch.empty(0, dtype=torch.bfloat16, device=device)
    room = Room(rows=max(ROWS), width=_WIDTH, words=2 * seat.ranks, like=like)
    ways: dict[str, Ranks] = {
        "symmetric_us": Symmetric(PrefixStore("a", book), seat.rank, seat.ranks, room),
        "nccl_us": Grouped(PrefixStore("b", book), seat.rank, seat.ranks, device),
    }
    torch.manual_seed(seat.rank)
    for rows in ROWS:
        part = torch.randn(rows, _WIDTH, dtype=torch.bfloat16, device=device)
        line = {name: round(_microseconds(way.total, part), 1) for name, way in ways.items()}
        one, other = (way.total(part.clone()).float() for way in ways.values())
        line["differs"] = round(((one - other).norm() / other.norm()).item(), 6)
        if seat.rank == 0:
            lines.put({"cards": seat.ranks, "rows": rows, **line})
    torch.cuda.synchronize()


def _microseconds(total: Callable[[Tensor], Tensor], part: Tensor) -> float:
    part = part.clone()
    total(part)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_SUMS):
            total(part)
    graph.replay()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(_REPEATS):
        graph.replay()
    end.record()
    torch.cuda.synchronize()
    return 1e3 * begin.elapsed_time(end) / _REPEATS / _SUMS
