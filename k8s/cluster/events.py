"""What is told of a road, as Events."""

import time
from contextlib import suppress
from typing import Final

from k8s.cluster.rest import EVENTS, Json, Part
from k8s.errors import Conflict
from k8s.road import API_VERSION, GROUP, KIND, Road, Transition
from k8s.road.wire import time_of

_CONTROLLER: Final = "glm-road-controller"
_LONGEST_MESSAGE: Final = 1024  # of an Event; longer ones are refused


class Events(Part):
    """A transition is told once, whoever tells it."""

    def tell(self, road: Road, transition: Transition, *, warning: bool) -> None:
        said = {
            "type": "Warning" if warning else "Normal",
            "reason": transition.event,
            "message": f"{transition.version}: {transition.message}"[:_LONGEST_MESSAGE],
        }
        self._event(road, f"{road.uid[:8]}.{transition.number:06}", said, transition.at)

    def note(self, road: Road, reason: str, message: str) -> None:
        now = time.time()
        said = {"type": "Warning", "reason": reason, "message": message[:_LONGEST_MESSAGE]}
        self._event(road, f"{reason.lower()}.{round(now * 1000):x}", said, now)

    def events(self, road: str) -> list[Json]:
        """What was told of a road, oldest first."""
        selector = f"involvedObject.kind={KIND},involvedObject.name={road}"
        found = self._rest.list(EVENTS, fieldSelector=selector)
        return sorted(found, key=lambda event: (event["lastTimestamp"], event["metadata"]["name"]))

    def _event(self, road: Road, name: str, said: Json, at: float) -> None:
        second = time_of(float(int(at))).replace(".000", "")
        about = {
            "apiVersion": f"{GROUP}/{API_VERSION}",
            "kind": KIND,
            "name": road.name,
            "namespace": road.namespace,
            "uid": road.uid,
        }
        body = {
            "metadata": {"name": f"{road.name}.{name}"},
            "involvedObject": about,
            "firstTimestamp": second,
            "lastTimestamp": second,
            "count": 1,
            "source": {"component": _CONTROLLER},
            **said,
        }
        with suppress(Conflict):
            self._rest.create(EVENTS, body)
