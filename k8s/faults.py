"""Fault points: places where a test kills the controller as a power cut would."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

VARIABLE: Final = "GLM_ROAD_FAULT"
"""`<phase>:<act>`, such as `Canary:status-written`; acts are those of `controller.py`."""

Fault = Callable[[str], None]


def none(_place: str) -> None:
    """Nothing breaks here."""


def from_environment(environment: Mapping[str, str]) -> Fault:
    """Kills this process with SIGKILL at the named place."""
    chosen = environment.get(VARIABLE)
    if not chosen:
        return none

    def fault(place: str) -> None:
        if place == chosen:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault
