"""From the host's memory to the card's, without waiting for the card."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.int32]  # a table that the host writes and kernels read


class Ferry:
    """Sends numbers to one device through pinned memory, which a copy can leave behind."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pinned = device.type == "cuda"

    def send(self, numbers: NDArray[Any]) -> Tensor:
        """Return a copy on the device; work queued later sees it whole."""
        return self._stage(numbers).to(self._device, non_blocking=True)

    def fill(self, target: Tensor, numbers: NDArray[Any]) -> None:
        """Copy into memory that already lies on the device."""
        target.copy_(self._stage(numbers), non_blocking=True)

    def _stage(self, numbers: NDArray[Any]) -> Tensor:
        plain = torch.from_numpy(np.ascontiguousarray(numbers))
        if not self._pinned:
            return plain
        staged = torch.empty_like(plain, pin_memory=True)
        return staged.copy_(plain)


class Letter:
    """Numbers on their way back to the host."""

    def __init__(self, numbers: Tensor) -> None:
        """Start the copy behind the work already queued."""
        self._arrived: torch.Event | None = None
        self._numbers = numbers
        if numbers.is_cuda:
            self._numbers = torch.empty_like(numbers, device="cpu", pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._arrived = torch.Event(numbers.device, blocking=True)
            self._arrived.record()

    @property
    def is_here(self) -> bool:
        return self._arrived is None or self._arrived.query()

    def read(self) -> list[int]:
        """Wait until the numbers are here."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers: list[int] = self._numbers.tolist()
        return numbers
