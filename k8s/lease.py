"""Who leads, by a Lease: at most one controller writes at a time.

A holder is gone when its lease has not changed for the whole duration on the observer's own steady
clock; times in the lease are for people. The holder stops earlier, when two thirds are over without
a renewal, so that the two do not overlap. Where the holder's pod is seen to have ended, nobody
waits; should it live on out of sight, what it writes is refused where the other one wrote before.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

_RENEW_SHARE: Final = 1 / 3
_TRUST_SHARE: Final = 2 / 3
_GLANCE_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A lease as it stands; without `revision` it is not there yet."""

    holder: str
    renewed: str
    changes: int = 0
    revision: str = ""


class Candidacy:
    """One controller's view of the lease; `steady` counts seconds that never go back."""

    def __init__(self, identity: str, duration_s: float, steady: Callable[[], float]) -> None:
        self.identity = identity
        self.duration_s = duration_s
        self._steady = steady
        self._seen: tuple[str, float] | None = None  # revision, and when it was first seen
        self._trusted_until: float | None = None

    @property
    def look_again_s(self) -> float:
        """When to renew; who waits looks more often."""
        return self.duration_s * _RENEW_SHARE if self.leads() else min(_GLANCE_S, self.duration_s)

    def leads(self) -> bool:
        """Whether this controller may write now."""
        return self._trusted_until is not None and self._steady() < self._trusted_until

    def claim(self, standing: Claim | None, time: str, *, ended: bool = False) -> Claim | None:
        """What to write into the lease; None while somebody else holds it, who has not ended."""
        if standing is None:
            return Claim(holder=self.identity, renewed=time)
        mine = standing.holder == self.identity
        if not (mine or ended or not standing.holder or self._has_expired(standing)):
            self._trusted_until = None
            return None
        changes = standing.changes if mine else standing.changes + 1
        return replace(standing, holder=self.identity, renewed=time, changes=changes)

    def won(self, asked_at: float) -> None:
        """The claim was written; trust counts from before it was sent."""
        self._trusted_until = asked_at + self.duration_s * _TRUST_SHARE

    def resign(self, standing: Claim) -> Claim:
        """What to write so that the next one need not wait."""
        self._trusted_until = None
        return replace(standing, holder="")

    def _has_expired(self, standing: Claim) -> bool:
        now = self._steady()
        if self._seen is None or self._seen[0] != standing.revision:
            self._seen = (standing.revision, now)
        return now >= self._seen[1] + self.duration_s
