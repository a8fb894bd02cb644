"""Why a pod does not run, as its status tells it."""

from collections.abc import Iterator
from typing import Final

from k8s.cluster.rest import Json

_STARTING: Final = {"ContainerCreating", "PodInitializing"}


def troubles_of(pod: Json) -> Iterator[str]:
    """No room for it, an image that does not come, a container that ends, a node that drove it out.

    Nothing if it starts or runs, whatever ended before.
    """
    status = pod.get("status") or {}
    if status.get("phase") == "Failed" and status.get("reason"):  # Evicted, NodeLost: of the pod
        yield ": ".join(filter(None, (status["reason"], status.get("message"))))
    for each in status.get("conditions") or ():
        if (each.get("type"), each.get("status")) == ("PodScheduled", "False"):
            yield each.get("message") or "no node takes it"
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            yield from _of_container(container)


def _of_container(container: Json) -> Iterator[str]:
    name, state = container.get("name", ""), container.get("state") or {}
    if "running" in state:
        return
    waiting = state.get("waiting") or {}
    before = container.get("lastState") or {}
    ended = state.get("terminated") or before.get("terminated") or {}
    if ended.get("exitCode"):
        yield f"{name} ended with {ended['exitCode']} ({ended.get('reason') or 'no reason told'})"
    elif waiting.get("reason") and waiting["reason"] not in _STARTING:
        yield ": ".join(filter(None, (name, waiting["reason"], waiting.get("message"))))
