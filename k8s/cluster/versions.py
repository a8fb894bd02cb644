"""What stands behind versions: Services, endpoints, pods."""

from collections.abc import Iterator, Mapping, Sequence

from k8s.cluster.rest import PODS, SERVICES, SLICES, Json, Part
from k8s.cluster.troubles import troubles_of
from k8s.road import GROUP
from k8s.road.route import service_of
from k8s.road.wire import instant_of


class Versions(Part):
    """Read, never written."""

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
        return sum(end >= since for pod in self._pods(version) for end in _last_ends(pod))

    def troubles(self, version: str) -> Sequence[str]:
        """Why pods of it do not run, each reason once."""
        told = (each for pod in self._pods(version) for each in troubles_of(pod))
        return tuple(dict.fromkeys(told))

    def _pods(self, version: str) -> Sequence[Json]:
        return self._rest.list(PODS, labelSelector=f"{GROUP}/version={version}")


def _last_ends(pod: Json) -> Iterator[float]:
    """When containers that began again had ended, in Unix seconds."""
    for container in pod.get("status", {}).get("containerStatuses") or ():
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if ended.get("finishedAt"):
            yield instant_of(ended["finishedAt"])


def _is_ready(endpoint: Json) -> bool:
    return bool((endpoint.get("conditions") or {}).get("ready", True))
