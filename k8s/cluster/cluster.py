"""What the controller and its people see of one namespace; every call may be repeated."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from k8s.cluster.events import Events
from k8s.cluster.leases import Leases
from k8s.cluster.news import News
from k8s.cluster.papers import Papers
from k8s.cluster.rest import ROADS, ROUTES, Json, Rest
from k8s.cluster.versions import Versions
from k8s.road import API_VERSION, GROUP, KIND, Road, Status, parse, render_status
from k8s.road.resource import render_spec

_WATCH_S: Final = 60


class Cluster(Versions, Papers, Events, Leases):
    """A World, and what people ask beyond it: roads, routes, and what its parts bring."""

    def __init__(self, rest: Rest) -> None:
        super().__init__(rest)
        self._news = News()

    @property
    def namespace(self) -> str:
        return self._rest.namespace

    def road_names(self, *, unknown_ok: bool = False) -> Sequence[str]:
        """Raises Refused where the server knows no roads, unless that is as good as none."""
        roads = self._rest.list(ROADS, missing_ok=unknown_ok)
        return [each["metadata"]["name"] for each in roads]

    def roads_elsewhere(self) -> Sequence[tuple[str, str]] | None:
        """Namespace and name of every road; None where roads are unknown. Raises Refused."""
        found = self._rest.everywhere(ROADS)
        if found is None:
            return None
        return [(each["metadata"]["namespace"], each["metadata"]["name"]) for each in found]

    def has_namespace(self) -> bool:
        """Raises Refused where one may not ask."""
        return self._rest.has_namespace()

    def road(self, name: str) -> Road | None:
        resource = self._rest.get(ROADS, name)
        return parse(resource) if resource else None

    def write_status(self, road: Road, status: Status) -> Road:
        metadata = {
            "name": road.name,
            "namespace": road.namespace,
            "resourceVersion": road.resource_version,
        }
        body = {
            "apiVersion": f"{GROUP}/{API_VERSION}",
            "kind": KIND,
            "metadata": metadata,
            "spec": render_spec(road.spec),  # required in the request, ignored by the server
            "status": render_status(status),
        }
        return parse(self._rest.replace(ROADS, road.name, body, "status"))

    def wish(self, name: str, changes: Json, manager: str, revision: str = "") -> Road:
        """Merge changes into the spec; None removes a field.

        Raises Refused as admission does, Conflict where the road is not of that revision.
        """
        body: Json = {"spec": changes}
        if revision:
            body["metadata"] = {"resourceVersion": revision}
        return parse(self._rest.merge(ROADS, name, body, manager))

    def route(self, name: str) -> Json | None:
        return self._rest.get(ROUTES, name)

    def write_route(self, route: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
        if live is None:
            self._rest.create(ROUTES, route)
            return
        metadata = {**route["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
        self._rest.replace(ROUTES, metadata["name"], {**route, "metadata": metadata})

    def changes(self) -> Iterator[None]:
        """One turn for every wish and every move, until the server ends the watch.

        A watch begins with all roads as they are, so nothing is missed between two.
        """
        events = self._rest.watch(ROADS, _WATCH_S)
        return (None for event in events if self._news.is_in(event))
