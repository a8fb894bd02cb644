"""Where ranks find each other, and by which way they talk from then on."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from serve_app.engine.ranks import Ranks
from serve_app.engine.ranks.grouped import Grouped
from serve_app.engine.ranks.symmetric import Room, Symmetric
from serve_app.settings import EngineSettings
from serve_app.telemetry import log

_PATIENCE = timedelta(minutes=10)
_HERE = "127.0.0.1"
_HINDRANCE, _NONE = "hindrance", "none"  # in the book: an empty value would be waited for


@dataclass(frozen=True, slots=True)
class Seat:
    """One rank's place at the meeting; `port` is where the first rank keeps the book."""

    rank: int
    ranks: int
    port: int


def host() -> TCPStore:
    """Open the book, for as long as it is held."""
    return TCPStore(_HERE, 0, is_master=True, wait_for_workers=False, timeout=_PATIENCE)


def visit(seat: Seat) -> TCPStore:
    """Look into the book that the first rank has opened."""
    return TCPStore(_HERE, seat.port, is_master=False, timeout=_PATIENCE)


def take_card(seat: Seat, wanted: str) -> None:
    """Make a card of its own the current one of this thread."""
    if wanted != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(seat.rank)


def meet(store: TCPStore, seat: Seat, model: Any, settings: EngineSettings) -> Ranks:
    """Return when all ranks have come, each with its share of the model."""
    device = model.device
    if device.type == "cuda" and _share_memory(store, seat):
        room = Room(
            rows=settings.step_tokens + settings.max_running,
            width=model.config.hidden_size,
            words=seat.ranks * len(model.lm_head.weight),
            like=torch.empty(0, dtype=model.dtype, device=device),
        )
        return Symmetric(PrefixStore("memory", store), seat.rank, seat.ranks, room)
    return Grouped(PrefixStore("group", store), seat.rank, seat.ranks, device)


def _share_memory(store: Store, seat: Seat) -> bool:
    """Whether all ranks will; the first one decides, and says why not."""
    if seat.rank == 0:
        reason = _hindrance(seat.ranks)
        store.set(_HINDRANCE, reason or _NONE)
        if reason:
            log().warning("symmetric_memory_unused", detail=reason)
    told: bytes = store.get(_HINDRANCE)
    return told.decode() == _NONE


def _hindrance(ranks: int) -> str:
    """Say why cards cannot share memory; empty: they can."""
    if not hasattr(torch.ops.symm_mem, "two_shot_all_reduce_"):
        return "this torch cannot sum in memory that GPUs share"
    if Symmetric.was_made:  # torch numbers a process's meetings, and new ranks begin at the first
        return "this process has shared its GPU's memory with other ranks before"
    cards = range(ranks)
    pairs = ((one, other) for one in cards for other in cards if one != other)
    if not all(torch.cuda.can_device_access_peer(*pair) for pair in pairs):
        return "the GPUs cannot read each other's memory"
    return ""
