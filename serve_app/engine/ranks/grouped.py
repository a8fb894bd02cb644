"""Ranks that talk through a process group: gloo between CPUs, NCCL between cards."""

from typing import Any

import torch
from torch import Tensor
from torch._C._distributed_c10d import Store


class Grouped:
    """A group of its own: that of the whole process would be one for all engines in it."""

    near = None

    def __init__(self, store: Store, rank: int, ranks: int, device: torch.device) -> None:
        """Return when all ranks have come."""
        self.leads = rank == 0
        self._ranks = ranks
        self._group: Any = _GROUPS[device.type](store, rank, ranks)
        self._group.allreduce([torch.zeros(1, device=device)]).wait()

    def share(self, own: Tensor) -> Tensor:
        self._group.broadcast(own, 0).wait()
        return own

    def total(self, part: Tensor) -> Tensor:
        self._group.allreduce([part]).wait()
        return part

    def gather(self, part: Tensor) -> Tensor:
        if not len(part):
            return part
        parts = [torch.empty_like(part) for _ in range(self._ranks)]
        self._group.allgather([parts], [part]).wait()
        return torch.cat(parts, dim=-1) if self.leads else part


def _gloo(store: Store, rank: int, ranks: int) -> Any:
    gloo: Any = torch.distributed.ProcessGroupGloo
    options = gloo._Options()  # noqa: SLF001 - nothing else keeps it to this machine
    options._devices = [gloo.create_device(hostname="127.0.0.1")]  # noqa: SLF001 - likewise
    return gloo(store, rank, ranks, options)


def _nccl(store: Store, rank: int, ranks: int) -> Any:
    nccl: Any = torch.distributed.ProcessGroupNCCL
    return nccl(store, rank, ranks, nccl.Options())


_GROUPS = {"cpu": _gloo, "cuda": _nccl}
