"""The HTTPRoute, drawn from a road: a pure function, so that phase and traffic cannot disagree.

One rule with all weights, and for every version a rule that a request header pins: it lets
pipelines and people ask that version. All shares stay in one rule and no backend has filters of its
own, so that a change of shares is a change of numbers and no connection is made or dropped for it.
It is the first, for a gateway knows a rule by its place; the others keep theirs too (`pins`).
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from k8s.road.pins import header_match, places
from k8s.road.resource import API_VERSION, GROUP, KIND, Road
from k8s.road.status import WHOLE

PORT: Final = 8000
_EVERYTHING: Final = {"path": {"type": "PathPrefix", "value": "/"}}
_NEVER: Final = {"request": "0s"}  # gateways cut streams after 15 s where nothing is said


def service_of(version: str) -> str:
    """The Service that holds a version; chart glm-model names it so."""
    return f"glm-{version}"


def render_route(
    road: Road, routable: Collection[str], live: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The whole object; `routable` are the versions that have a Service, `live` the route so far.

    None when the stable version has none: a candidate with one percent would get everything. Then
    what stands is left as it is.
    """
    weights = _weights(road, routable)
    if sum(weights.values()) != WHOLE:
        return None
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": road.name,
            "namespace": road.namespace,
            "labels": {f"{GROUP}/road": road.name},
            "ownerReferences": [_owner(road)],
        },
        "spec": _spec(road, weights, live),
    }


def _weights(road: Road, routable: Collection[str]) -> dict[str, int]:
    """Of all versions that are routable, in the spec's order; what nobody can take goes home."""
    status = road.status
    weights = {name: status.weight(name) for name in named(road) if name in routable}
    if status.stable in weights:
        weights[status.stable] += WHOLE - sum(weights.values())
    return weights


def is_taken(live: Mapping[str, Any]) -> bool:
    """Whether every gateway that a route names has accepted it."""
    said = live.get("status", {}).get("parents", [])
    accepted = [
        any(each["type"] == "Accepted" and each["status"] == "True" for each in one["conditions"])
        for one in said
    ]
    return all(accepted) and len(said) >= len(live["spec"].get("parentRefs", ()))


def named(road: Road) -> tuple[str, ...]:
    """The spec's versions, and those that may still have users though the spec has dropped them."""
    status = road.status
    known = (*(each.name for each in road.spec.versions), status.candidate)
    used = (each.version for each in status.weights)
    kept = (each.version for each in status.stables)
    return tuple(filter(None, dict.fromkeys((*known, *used, *kept))))


def _spec(road: Road, weights: dict[str, int], live: Mapping[str, Any] | None) -> dict[str, Any]:
    """A rule that only keeps its place leads to the stable version."""
    stable = road.status.stable or ""
    pinned = (_pinned(name, name if name in weights else stable) for name in places(live, weights))
    spec: dict[str, Any] = {
        "parentRefs": [_parent(road, number) for number in range(len(road.spec.parent_refs))],
        "rules": [_weighted(road, weights), *pinned],
    }
    if road.spec.hostnames:
        spec["hostnames"] = list(road.spec.hostnames)
    return spec


def _parent(road: Road, number: int) -> dict[str, str]:
    """With what the API server would fill in, so that what was read compares equal."""
    given = road.spec.parent_refs[number]
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": given.name}
    if given.namespace:
        parent["namespace"] = given.namespace
    if given.section_name:
        parent["sectionName"] = given.section_name
    return parent


def _pinned(version: str, leads_to: str) -> dict[str, Any]:
    return {
        "matches": [{**_EVERYTHING, "headers": [header_match(version)]}],
        "timeouts": _NEVER,
        "backendRefs": [_backend(leads_to, 1)],
    }


def _weighted(road: Road, weights: dict[str, int]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "matches": [_EVERYTHING],
        "timeouts": _NEVER,
        "backendRefs": [_backend(name, weight) for name, weight in weights.items()],
    }
    filters = _mirror(road, weights)
    return {**rule, "filters": filters} if filters else rule


def _mirror(road: Road, weights: dict[str, int]) -> list[dict[str, Any]]:
    candidate, percent = road.status.candidate, road.status.mirror_percent
    if not percent or candidate is None or candidate not in weights:
        return []
    service = road.spec.policy.mirror.service or service_of(candidate)
    target = {"group": "", "kind": "Service", "name": service, "port": PORT}
    return [{"type": "RequestMirror", "requestMirror": {"backendRef": target, "percent": percent}}]


def _backend(version: str, weight: int) -> dict[str, Any]:
    """Without filters of its own.

    Envoy Gateway would give it connections of its own, and drop them with its share before it
    stops to route there. Versions name themselves in their answers.
    """
    return {
        "group": "",
        "kind": "Service",
        "name": service_of(version),
        "port": PORT,
        "weight": weight,
    }


def _owner(road: Road) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/{API_VERSION}",
        "kind": KIND,
        "name": road.name,
        "uid": road.uid,
        "controller": True,
    }


def share_of(route: Mapping[str, Any] | None, version: str) -> float:
    """Which part of new requests a route gives to a version, 0 to 1."""
    if route is None or not route["spec"].get("rules"):
        return 0.0
    backends = route["spec"]["rules"][0].get("backendRefs") or ()
    weights: dict[str, int] = {each["name"]: each.get("weight", 1) for each in backends}
    return weights.get(service_of(version), 0) / max(sum(weights.values()), 1)
