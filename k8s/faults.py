"""Fault points: places where a test kills the controller as a power cut would."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

VARIABLE: Final = "GLM_ROAD_FAULT"
"""`<phase>:<act>`, such as `Canary:status-written`, several with commas between them.

Acts are those of `controller.py`. A place is passed once in each transition, so a controller that
is started again goes on from there."""

Fault = Callable[[str], None]


def none(_place: str) -> None:
    """Nothing breaks here."""


def from_environment(environment: Mapping[str, str]) -> Fault:
    """Ends this process at the named places, by SIGKILL where it can."""
    chosen = set(filter(None, environment.get(VARIABLE, "").split(",")))
    if not chosen:
        return none

    def fault(place: str) -> None:
        if place in chosen:
            os.kill(os.getpid(), signal.SIGKILL)
            os._exit(128 + signal.SIGKILL)  # the first process of a container is deaf to its own

    return fault
