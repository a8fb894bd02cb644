"""`glm-serve handover`: a pod that is to leave serves on until another has taken its place.

Kubernetes runs it before it tells the pod to end.  As long as no other pod is ready, services and
gateways go on leading to one that leaves.
"""

import socket
import time
from enum import Enum
from typing import Annotated

import typer

NOBODY_S = (
    30.0  # by then a pod that is to follow has an address, and names have been looked up anew
)
GLANCE_S = 1.0
PROBE_S = 10.0

Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Names this pod and its like.")]
Notice = Annotated[
    float, typer.Option("--notice", help="Seconds in which all hear of it, before the end.")
]
Limit = Annotated[float, typer.Option("--limit", help="Seconds to wait for another, at most.")]
Port = Annotated[int, typer.Option("--port", help="Where pods answer /ready.")]


class Sight(Enum):
    """What is to be seen of pods that follow."""

    NOBODY = "nobody"
    COMING = "coming"
    READY = "ready"


def handover(service: Service, *, notice: Notice, limit: Limit, port: Port = 8000) -> None:
    """Wait until another pod of SERVICE is ready, or none is coming; then for the notice."""
    began = time.monotonic()
    while not is_over(look(service, port), time.monotonic() - began, limit):
        time.sleep(GLANCE_S)
    time.sleep(notice)


def is_over(sight: Sight, waited_s: float, limit_s: float) -> bool:
    """Whether there is nothing to wait for any more."""
    if sight is Sight.NOBODY:
        return waited_s >= min(NOBODY_S, limit_s)
    return sight is Sight.READY or waited_s >= limit_s


def look(service: str, port: int) -> Sight:
    """Ask every other pod that has the service's name."""
    others = _addresses(service) - _addresses(socket.gethostname())
    if any(_is_ready(address, port) for address in others):
        return Sight.READY
    return Sight.COMING if others else Sight.NOBODY


def _addresses(name: str) -> set[str]:
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def _is_ready(address: str, port: int) -> bool:
    import httpx

    host = f"[{address}]" if ":" in address else address
    try:
        url = f"http://{host}:{port}/ready"
        return httpx.get(url, timeout=PROBE_S, trust_env=False).is_success
    except httpx.HTTPError:
        return False
