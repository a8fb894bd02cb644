"""Sums over ranks by the kernel, interpreted: one rank, once the others' parts are there."""

import pytest
import torch
from torch import Tensor

from serve_app.engine.gpu.kernels.meet import meet_add, meet_add_norm
from serve_app.engine.gpu.kernels.norm import plain_add_norm, plain_norm
from serve_app.engine.gpu.sums import Sums
from serve_app.engine.ranks import Common, Near

ROWS, WIDTH, EPSILON = 3, 48, 1e-5


def common(every: list[Tensor], rank: int) -> Common:
    return Common(every[rank], torch.tensor([each.data_ptr() for each in every]))


def near(parts: list[Tensor], flags: list[Tensor], rank: int) -> Near:
    unused = common([torch.full_like(part, torch.nan) for part in parts], rank)
    return Near(rank, len(parts), (unused, common(parts, rank)), common(flags, rank))


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("sandwiched", [False, True])
def test_the_parts_of_all_ranks_are_added_and_normalised(ranks: int, *, sandwiched: bool) -> None:
    generator = torch.Generator().manual_seed(ranks)
    parts = [torch.randn(ROWS, WIDTH, generator=generator) for _ in range(ranks)]
    stream, (weight, post) = torch.randn(ROWS, WIDTH), torch.randn(2, WIDTH)
    flags = [torch.zeros(ROWS, ranks, dtype=torch.int32) for _ in range(ranks)]
    flags[1][:, [rank for rank in range(ranks) if rank != 1]] = 1
    wanted_stream = stream.clone()
    norm = post if sandwiched else None
    wanted = plain_add_norm(wanted_stream, torch.stack(parts).sum(0), weight, EPSILON, norm)

    found = meet_add_norm(near(parts, flags, 1), 1, stream, weight, EPSILON, norm)

    torch.testing.assert_close(stream, wanted_stream)
    torch.testing.assert_close(found, wanted)
    assert flags[1].sum() == 0
    assert all(theirs[:, 1].eq(1).all() for rank, theirs in enumerate(flags) if rank != 1)


def test_without_a_norm_the_stream_alone_is_changed() -> None:
    parts = [torch.full((ROWS, WIDTH), float(rank + 1)) for rank in range(2)]
    flags = [torch.tensor([[0, 1]] * ROWS, dtype=torch.int32), torch.zeros(ROWS, 2).int()]
    stream = torch.ones(ROWS, WIDTH)

    meet_add(near(parts, flags, 0), 1, stream)

    assert stream.eq(4.0).all()


def test_rows_that_are_kept_meet_in_their_new_places() -> None:
    theirs = torch.randn(2, ROWS, WIDTH)
    flags = [torch.zeros(ROWS, 2, dtype=torch.int32) for _ in range(2)]
    parts = [common([torch.empty(ROWS, WIDTH), part], 0) for part in theirs]
    ranks = Meeting(Near(0, 2, (parts[0], parts[1]), common(flags, 0)))
    stream, x, square = (
        torch.randn(ROWS, WIDTH),
        torch.randn(ROWS, WIDTH),
        torch.randn(WIDTH, WIDTH),
    )
    unit, kept = torch.ones(WIDTH), torch.tensor([2])
    wanted = (stream + x @ square.T + theirs[1])[kept] + x[kept] @ square.T + theirs[0, :1]
    sums = Sums(ranks, stream, EPSILON)

    sums.add(x, square, None)
    _arrive(flags, ROWS)
    sums.norm(unit)
    sums.keep(kept)
    sums.add(x[kept], square, None)
    _arrive(flags, 1)

    torch.testing.assert_close(sums.norm(unit), plain_norm(wanted, unit, EPSILON))
    assert flags[0].sum() == 0


def _arrive(flags: list[Tensor], rows: int) -> None:
    """The other rank tells its first rows, and has taken down what it was told."""
    flags[0][:rows, 1] = 1
    flags[1].zero_()


class Meeting:
    """A rank whose other is near."""

    leads = True

    def __init__(self, near: Near) -> None:
        self.near = near

    def share(self, own: Tensor) -> Tensor:
        raise NotImplementedError

    total = gather = share
