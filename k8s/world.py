"""What the controller sees of the cluster and does to it; `cluster` is the real one."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from k8s.ledger import Record
from k8s.reports import Summary
from k8s.road import Road, Status, Transition


class World(Protocol):
    """Reads and writes; every write may be repeated. All raise Unreachable."""

    def road(self, name: str) -> Road | None:
        """As the API server has it now; raises BadRoad."""

    def write_status(self, road: Road, status: Status) -> Road:
        """Raises Conflict where the road changed since it was read."""

    def ready(self, versions: Sequence[str]) -> Mapping[str, int]:
        """Ready endpoints of those versions that have a Service."""

    def restarts(self, version: str, since: float) -> int:
        """Containers of a version that ended since then, in Unix seconds, and began again."""

    def summary(self, version: str) -> Summary | None:
        """Of the version's evaluation, if there was one."""

    def route(self, name: str) -> dict[str, Any] | None: ...

    def write_route(self, route: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
        """In place of `live`; raises Conflict where that changed since it was read."""

    def head(self, road: str) -> Record | None:
        """The ledger's last record."""

    def append(self, road: str, record: Record) -> bool:
        """False where a record of that number is there already, which stays as it is."""

    def tell(self, road: Road, transition: Transition, *, warning: bool) -> None:
        """As an Event; the same transition is told once."""

    def note(self, road: Road, reason: str, message: str) -> None:
        """As an Event on something that is no transition."""
