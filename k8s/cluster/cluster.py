"""What the controller and its people see of one namespace; every call may be repeated."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from k8s import ledger
from k8s.cluster.news import News
from k8s.cluster.rest import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    PODS,
    ROADS,
    ROUTES,
    SERVICES,
    SLICES,
    Json,
    Rest,
)
from k8s.cluster.troubles import troubles_of
from k8s.errors import BrokenLedger, Conflict
from k8s.lease import Claim
from k8s.ledger import Record
from k8s.reports import Summary, parse_summary, render_summary
from k8s.road import API_VERSION, GROUP, KIND, Road, Status, Transition, parse, render_status
from k8s.road.resource import render_spec
from k8s.road.route import service_of
from k8s.road.wire import instant_of, time_of

_CONTROLLER: Final = "glm-road-controller"
_LONGEST_MESSAGE: Final = 1024  # of an Event; longer ones are refused
_WATCH_S: Final = 60
_SUMMARY, _RECORD = "summary.json", "record"  # keys of ConfigMaps
_CONTROLLERS: Final = "app.kubernetes.io/component=controller"


class Cluster:
    """A World, and what people ask beyond it."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._alive: set[str] = set()  # pods that were seen so
        self._news = News()

    @property
    def namespace(self) -> str:
        return self._rest.namespace

    def road_names(self) -> Sequence[str]:
        return [each["metadata"]["name"] for each in self._rest.list(ROADS)]

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

    def ready(self, versions: Sequence[str]) -> Mapping[str, int]:
        names = {service_of(each): each for each in versions}
        there = (each["metadata"]["name"] for each in self._rest.list(SERVICES))
        found = {names[each]: 0 for each in there if each in names}
        for each in self._rest.list(SLICES):
            labels = each["metadata"].get("labels") or {}
            version = names.get(labels.get("kubernetes.io/service-name", ""))
            if version in found:
                found[version] += sum(map(_is_ready, each.get("endpoints") or ()))
        return found

    def has_service(self, version: str) -> bool:
        return self._rest.get(SERVICES, service_of(version)) is not None

    def restarts(self, version: str, since: float) -> int:
        pods = self._rest.list(PODS, labelSelector=f"{GROUP}/version={version}")
        return sum(end >= since for pod in pods for end in _last_ends(pod))

    def troubles(self, version: str) -> Sequence[str]:
        """Why pods of it do not run, each reason once."""
        pods = self._rest.list(PODS, labelSelector=f"{GROUP}/version={version}")
        return tuple(dict.fromkeys(each for pod in pods for each in troubles_of(pod)))

    def route(self, name: str) -> Json | None:
        return self._rest.get(ROUTES, name)

    def write_route(self, route: Mapping[str, Any], live: Mapping[str, Any] | None) -> None:
        if live is None:
            self._rest.create(ROUTES, route)
            return
        metadata = {**route["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
        self._rest.replace(ROUTES, metadata["name"], {**route, "metadata": metadata})

    def summary(self, version: str) -> Summary | None:
        held = self._rest.get(CONFIG_MAPS, _summary_name(version))
        return parse_summary(_said(held, _SUMMARY)) if held else None

    def write_summary(self, summary: Summary) -> None:
        """Of an evaluation, in place of an earlier one of that version."""
        name = _summary_name(summary.version)
        body = {
            "metadata": {"name": name, "labels": {f"{GROUP}/evaluation": summary.version}},
            "data": {_SUMMARY: render_summary(summary)},
        }
        try:
            self._rest.create(CONFIG_MAPS, body)
        except Conflict:
            self._rest.replace(CONFIG_MAPS, name, body)

    def head(self, road: str) -> Record | None:
        return max(self.records(road), key=lambda record: record.number, default=None)

    def records(self, road: str) -> list[Record]:
        """The whole ledger, in order; raises BrokenLedger where one was changed."""
        return sorted(map(ledger.read, self.lines(road)), key=lambda record: record.number)

    def lines(self, road: str) -> list[str]:
        """Its records as they are kept, in no order."""
        held = self._rest.list(CONFIG_MAPS, labelSelector=f"{GROUP}/ledger={road}")
        return [_said(each, _RECORD) for each in held]

    def append(self, road: str, record: Record) -> bool:
        name = f"{road}-ledger-{record.number:06}"
        metadata = {"name": name, "labels": {f"{GROUP}/ledger": road}}
        body = {"metadata": metadata, "data": {_RECORD: record.line()}, "immutable": True}
        try:
            self._rest.create(CONFIG_MAPS, body)
        except Conflict:
            self._recorded(road, name)
            return False
        return True

    def _recorded(self, road: str, name: str) -> None:
        """Raises BrokenLedger where what has the name is no record: none could follow, unseen."""
        standing = self._rest.get(CONFIG_MAPS, name)
        labels = standing["metadata"].get("labels") or {} if standing else None
        if labels is not None and labels.get(f"{GROUP}/ledger") != road:
            raise BrokenLedger(
                f"The ConfigMap {name} has the name of the next record and is none; remove it."
            )

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

    def claim(self, name: str) -> Claim | None:
        lease = self._rest.get(LEASES, name)
        if lease is None:
            return None
        spec, metadata = lease.get("spec") or {}, lease["metadata"]
        return Claim(
            holder=spec.get("holderIdentity") or "",
            renewed=spec.get("renewTime") or "",
            changes=spec.get("leaseTransitions") or 0,
            revision=metadata["resourceVersion"],
        )

    def write_claim(self, name: str, claim: Claim, duration_s: float) -> None:
        """Raises Conflict where somebody was quicker."""
        spec = {
            "holderIdentity": claim.holder,
            "renewTime": claim.renewed,
            "leaseTransitions": claim.changes,
            "leaseDurationSeconds": max(round(duration_s), 1),
        }
        if claim.revision:
            metadata = {"name": name, "resourceVersion": claim.revision}
            self._rest.replace(LEASES, name, {"metadata": metadata, "spec": spec})
        else:
            self._rest.create(LEASES, {"metadata": {"name": name}, "spec": spec})

    def has_ended(self, holder: str) -> bool:
        """Its pod is gone, or none of its containers runs; either is known a second later."""
        pods = self._rest.list(PODS, labelSelector=_CONTROLLERS)
        states = (_states(each) for each in pods if each["metadata"]["name"] == holder)
        if any("running" in state for state in next(states, ())):
            self._alive.add(holder)
            return False
        return holder in self._alive

    def changes(self) -> Iterator[None]:
        """One turn for every wish and every move, until the server ends the watch.

        A watch begins with all roads as they are, so nothing is missed between two.
        """
        events = self._rest.watch(ROADS, _WATCH_S)
        return (None for event in events if self._news.is_in(event))


def _summary_name(version: str) -> str:
    return f"glm-eval-{version}"


def _said(config_map: Json, key: str) -> str:
    """Empty where somebody made it otherwise."""
    text: str = (config_map.get("data") or {}).get(key, "")
    return text


def _states(pod: Json) -> list[Json]:
    containers = pod.get("status", {}).get("containerStatuses") or ()
    return [each.get("state") or {} for each in containers]


def _last_ends(pod: Json) -> Iterator[float]:
    """When containers that began again had ended, in Unix seconds."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("finishedAt"):
            yield instant_of(ended["finishedAt"])


def _is_ready(endpoint: Json) -> bool:
    return bool((endpoint.get("conditions") or {}).get("ready", True))
