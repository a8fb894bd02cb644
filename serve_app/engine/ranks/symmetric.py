"""Ranks whose cards read each other's memory: torch's symmetric memory, a third of NCCL's time.

Kernels wait for each other on the cards, without the host, so all of it can be recorded. None of
them gives up waiting: whoever loses a rank must end the process.
"""

import os
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._C._distributed_c10d import ProcessGroup, Store, _register_process_group

from serve_app.engine.ranks import Common, Near

_ONE_SHOT_ROWS = 16  # up to so many, to read both parts whole is quicker than to deal out the sum
_ORDERLESS = 2  # parts whose sum is the same in either order
_NEAR_ROWS = 512  # that kernels sum; more parts than two of longer steps are rather dealt out
_LOGIT_ROWS = 512  # gathered at once
_OPS: Any = torch.ops.symm_mem
_REGISTER: Any = _register_process_group  # takes a name by another type from version to version
_MULTICAST = "TORCH_SYMM_MEM_DISABLE_MULTICAST"  # not used here, and not allowed everywhere


@dataclass(frozen=True, slots=True)
class Room:
    """The largest step."""

    rows: int
    width: int  # of the residual stream
    words: int  # of the whole vocabulary
    like: Tensor  # device and dtype


class Symmetric:
    """Owns the memory that the other ranks see."""

    was_made: ClassVar = False  # in this process, whatever became of it

    def __init__(self, store: Store, rank: int, ranks: int, room: Room) -> None:
        """Return when all ranks have come."""
        Symmetric.was_made = True
        self.leads = rank == 0
        self._words = room.words
        # Each rank adds up for itself; of more than two parts the order would decide.
        self._one_shot_rows = _ONE_SHOT_ROWS if ranks <= _ORDERLESS else 0
        self._span = slice(rank * room.words // ranks, (rank + 1) * room.words // ranks)
        os.environ.setdefault(_MULTICAST, "1")
        self._memory = torch._C._distributed_c10d._SymmetricMemory  # noqa: SLF001 - what is public
        # takes the group of the whole process, which would be one for all engines in it
        self._name = _agree(store, leads=self.leads)
        self._memory.set_group_info(self._name, rank, ranks, store)
        self._group = ProcessGroup(store, rank, ranks)  # where torch 2.11 looks, and no further
        _REGISTER(self._name, self._group)
        self._parts, _ = self._allocate(room.rows * room.width, room.like)
        logits = min(room.rows, _LOGIT_ROWS) * room.words
        self._logits, self._meeting = self._allocate(logits, room.like)
        self.near = self._near(rank, ranks, room)
        self._theirs = self._meeting.get_buffer(0, (logits,), room.like.dtype)

    def share(self, own: Tensor) -> Tensor:
        return self.total(own if self.leads else torch.zeros_like(own)).clone()

    def total(self, part: Tensor) -> Tensor:
        flat = part.view(-1)
        common = self._parts[: flat.numel()]
        if len(part) <= self._one_shot_rows:
            copied: Tensor = _OPS.one_shot_all_reduce_copy(common, flat, "sum", self._name)
            return copied.view(part.shape)
        common.copy_(flat)
        _OPS.two_shot_all_reduce_(common, "sum", self._name)
        return common.view(part.shape)

    def gather(self, part: Tensor) -> Tensor:
        """The others write straight into the first rank's memory."""
        if len(part) <= _LOGIT_ROWS:
            return self._gather(part)
        return torch.cat([self._gather(rows).clone() for rows in torch.split(part, _LOGIT_ROWS)])

    def _gather(self, part: Tensor) -> Tensor:
        whole = self._theirs[: len(part) * self._words].view(len(part), self._words)
        self._meeting.barrier()
        whole[:, self._span] = part
        self._meeting.barrier()
        return whole if self.leads else part

    def _near(self, rank: int, ranks: int, room: Room) -> Near:
        rows = room.rows if ranks <= _ORDERLESS else min(room.rows, _NEAR_ROWS)
        one, other = (self._common((rows, room.width), ranks, room.like) for _ in range(2))
        flags = self._common((rows, ranks), ranks, room.like.int())
        flags.own.zero_()
        torch.cuda.synchronize()
        self._meeting.barrier()
        return Near(rank, ranks, (one, other), flags)

    def _common(self, shape: tuple[int, int], ranks: int, like: Tensor) -> Common:
        own, meeting = self._allocate(shape[0] * shape[1], like)
        seen = [meeting.get_buffer(rank, shape, like.dtype).data_ptr() for rank in range(ranks)]
        return Common(own.view(shape), torch.tensor(seen, device=like.device))

    def _allocate(self, count: int, like: Tensor) -> tuple[Tensor, Any]:
        shape = (count,), (1,)
        own = self._memory.empty_strided_p2p(*shape, like.dtype, like.device, self._name)
        return own, self._memory.rendezvous(own, self._name)


def _agree(store: Store, *, leads: bool) -> str:
    """A name that no group in any of the processes has had."""
    if leads:
        store.set("name", uuid.uuid4().hex)
    name: bytes = store.get("name")
    return name.decode()
