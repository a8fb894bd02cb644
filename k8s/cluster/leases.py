"""Who leads, and whether that one is still there."""

from typing import Final

from k8s.cluster.rest import LEASES, PODS, Json, Part, Rest
from k8s.lease import Claim

_CONTROLLERS: Final = "app.kubernetes.io/component=controller"


class Leases(Part):
    """One name, one holder."""

    def __init__(self, rest: Rest) -> None:
        super().__init__(rest)
        self._alive: set[str] = set()  # pods that were seen so

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


def _states(pod: Json) -> list[Json]:
    containers = pod.get("status", {}).get("containerStatuses") or ()
    return [each.get("state") or {} for each in containers]
