"""Moves pages between a card's cache and the host's memory beside the steps.

Pages are touched by the stream that computes alone: it gathers what is put away into one piece of
memory and scatters what came back from another, at the speed of the card. Between these and the
host a stream of its own copies, while the step computes; what a step brings back is in the pages
when the next one begins.
"""

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from textwrap import shorten
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from serve_app.engine.gpu.ferry import Ferry
from serve_app.engine.moves import Moves, Pairs
from serve_app.engine.offload import words
from serve_app.errors import BadSettings

_PORTABLE = 1  # cudaHostRegisterPortable: pinned for every card


class Side(Protocol):
    """Where copies run beside the steps, one after the other."""

    def run(self, copies: Callable[[], None]) -> Any:
        """Queue copies behind all that is queued so far; return a mark at their end."""
        ...

    def wait(self, mark: Any) -> None:
        """Let what is queued from now on to compute begin behind a mark."""
        ...


class SideStream:
    """A second stream of one card."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # its omission

    def run(self, copies: Callable[[], None]) -> torch.cuda.Event:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            copies()
        mark: torch.cuda.Event = self._stream.record_event()
        return mark

    def wait(self, mark: torch.cuda.Event) -> None:
        torch.cuda.current_stream(self._device).wait_event(mark)


class Part:
    """One tensor of the cache, its pages on the host, and what lies between them."""

    def __init__(self, part: Tensor, kept: Tensor, most: int) -> None:
        """`part` [layers, pages, W] and `kept` [slots, layers, W]; `most` pages at once."""
        self._pages = part.transpose(0, 1)
        self._kept = kept
        self._out, self._in = (part.new_empty(most, *kept.shape[1:]) for _ in range(2))

    def gather(self, pages: Tensor) -> None:
        torch.index_select(self._pages, 0, pages, out=self._out[: len(pages)])

    def scatter(self, pages: Tensor) -> None:
        self._pages.index_copy_(0, pages, self._in[: len(pages)])

    def send(self, slots: Sequence[int]) -> None:
        for at, slot, count in runs(slots):
            kept = self._kept[slot : slot + count]
            kept.copy_(self._out[at : at + count], non_blocking=True)

    def fetch(self, slots: Sequence[int]) -> None:
        for at, slot, count in runs(slots):
            kept = self._kept[slot : slot + count]
            self._in[at : at + count].copy_(kept, non_blocking=True)


class SideOffload:
    """Owns the host's pages and the way between; what is put away costs the step next to nothing.

    Unless it is more than `most` pages: then the step waits for the link, piece by piece.
    """

    def __init__(self, parts: Sequence[Part], most: int, side: Side, ferry: Ferry) -> None:
        """No step may bring back more than `most` pages."""
        self._parts = parts
        self._most = most
        self._side = side
        self._ferry = ferry
        self._sent: Any = None  # mark: what was gathered last has left the card
        self._fetched: Any = None  # mark: what comes back has reached the card...
        self._awaited: Tensor | None = None  # ...and belongs into these pages

    def move(self, moves: Moves) -> None:
        """Call when a step begins, also one that moves nothing."""
        self._land()
        stores = sorted(moves.stores, key=lambda pair: pair[1])
        for begin in range(0, len(stores), self._most):
            self._send(stores[begin : begin + self._most])
        if moves.loads:
            self._fetch(sorted(moves.loads))

    def _land(self) -> None:
        """Put into its pages what the last step has brought."""
        if self._awaited is None:
            return
        self._side.wait(self._fetched)
        for part in self._parts:
            part.scatter(self._awaited)
        self._awaited = None

    def _send(self, stores: Pairs) -> None:
        slots = [slot for _, slot in stores]
        pages = self._index(page for page, _ in stores)
        if self._sent is not None:
            self._side.wait(self._sent)
        for part in self._parts:
            part.gather(pages)
        self._sent = self._side.run(lambda: self._each(Part.send, slots))

    def _fetch(self, loads: Pairs) -> None:
        slots = [slot for slot, _ in loads]
        self._fetched = self._side.run(lambda: self._each(Part.fetch, slots))
        self._awaited = self._index(page for _, page in loads)

    def _each(self, move: Callable[[Part, Sequence[int]], None], slots: Sequence[int]) -> None:
        for part in self._parts:
            move(part, slots)

    def _index(self, pages: Iterator[int]) -> Tensor:
        return self._ferry.send(np.fromiter(pages, np.int64))


def beside(parts: Sequence[Tensor], slots: int, most: int, device: torch.device) -> SideOffload:
    """Offload a card's cache into pinned memory; raises BadSettings if there is not so much."""
    seen, kept = [words(part) for part in parts], list[Tensor]()
    try:
        for part in seen:
            kept.append(pinned((slots, len(part), part.shape[-1])))
        held = [Part(*each, most) for each in zip(seen, kept, strict=True)]
        offload = SideOffload(held, most, SideStream(device), Ferry(device))
    except BaseException:
        _unpin(kept)
        raise
    weakref.finalize(offload, _unpin, kept).atexit = False
    return offload


def pinned(shape: tuple[int, ...]) -> Tensor:
    """Memory for int64 that copies need not wait for.

    torch's own way would round its size up to a power of two.
    """
    try:
        memory = torch.empty(shape, dtype=torch.int64)
    except RuntimeError as error:  # what torch raises where the host's memory does not suffice
        raise _unpinned(shape, str(error)) from None
    if code := int(_runtime().cudaHostRegister(memory.data_ptr(), memory.nbytes, _PORTABLE)):
        raise _unpinned(shape, f"CUDA says {torch.cuda.CudaError(code)}")
    return memory


def _unpinned(shape: tuple[int, ...], cause: str) -> BadSettings:
    return BadSettings(
        f"engine.host_kv_tokens: {8 * math.prod(shape) / 2**30:.2f} GiB of this machine's memory "
        f"could not be pinned ({shorten(cause, 200)}). Set fewer tokens, or give more memory: in a "
        "pod workers.resources.limits.memory (head.resources without workers)."
    )


def _unpin(kept: Sequence[Tensor]) -> None:
    """Before it is free memory again, no copy may be under way."""
    torch.cuda.synchronize()
    for memory in kept:
        _runtime().cudaHostUnregister(memory.data_ptr())


def _runtime() -> Any:
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]  # the library's omission


def runs(slots: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Cut ascending slots where one is left out: place in `slots`, first slot, count."""
    begin = 0
    for at in range(1, len(slots) + 1):
        if at == len(slots) or slots[at] != slots[at - 1] + 1:
            yield begin, slots[begin], at - begin
            begin = at
