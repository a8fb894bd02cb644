"""Two clocks, to tell time that went by from a clock that was set."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_DRIFT_S: Final = 5.0  # what NTP may slew between two looks, and more


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of both, in seconds."""

    wall: float
    steady: float


class Clocks:
    """`wall` gives Unix seconds, `steady` seconds that never go back."""

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall = wall
        self._steady = steady

    def look(self) -> Look:
        return Look(self._wall(), self._steady())


def jump(before: Look | None, now: Look) -> float:
    """Seconds by which the wall clock was set between two looks; 0 for mere drift."""
    if before is None:
        return 0.0
    moved = (now.wall - before.wall) - (now.steady - before.steady)
    return moved if abs(moved) > _DRIFT_S else 0.0
