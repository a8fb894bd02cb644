"""Roads to test with."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from k8s.decide import decide
from k8s.road import Outcome, ParentRef, Road, Spec, Status, Verdict, Version
from k8s.rules import Observed

NOW = 1_700_000_000.0
VERSIONS = ("v1", "v2", "v3", "v4", "v5")
PASSED = (Verdict(check="ready", outcome=Outcome.PASS, message="ready"),)
FAILED = (Verdict(check="success-rate", outcome=Outcome.FAIL, message="80 % succeeded"),)
WAITED = (Verdict(check="samples", outcome=Outcome.WAIT, message="3 of 100 requests"),)


def digest_of(version: str) -> str:
    return f"sha256:{hashlib.sha256(version.encode()).hexdigest()}"


def spec_of(**wishes: Any) -> Spec:
    """Versions v1 to v5, v1 stable, unless wished otherwise."""
    versions = tuple(Version(name=each, model_digest=digest_of(each)) for each in VERSIONS)
    given = {"versions": versions, "stable": "v1", "parent_refs": (ParentRef(name="glm"),)}
    return Spec(**{**given, **wishes})


def road_of(spec: Spec | None = None, status: Status | None = None) -> Road:
    return Road(
        name="glm",
        namespace="models",
        uid="u",
        generation=1,
        resource_version="1",
        spec=spec or spec_of(),
        status=status or Status(),
    )


class Walk:
    """A road, decided on again and again on a clock that is turned by hand."""

    def __init__(self, **wishes: Any) -> None:
        self.road = road_of(spec_of(**wishes))
        self.ready = dict.fromkeys(VERSIONS, 1)
        self.now = NOW

    @property
    def status(self) -> Status:
        return self.road.status

    def wish(self, **wishes: Any) -> "Walk":
        self.road = replace(self.road, spec=replace(self.road.spec, **wishes))
        return self

    def look(self, report: Sequence[Verdict] | None = None, after: float = 0.0) -> Status:
        self.now += after
        observed = Observed(road=self.road, ready=self.ready, now=self.now, report=report)
        self.road = replace(self.road, status=decide(observed))
        return self.status

    def to(self, step: str) -> "Walk":
        """Adopt v1 and bring v2 on its way, up to the step."""
        self.look()
        self.wish(candidate="v2")
        self.look()
        while self.status.step != step and self.status.under_way:
            self.look(PASSED, after=1000)
        return self

    def promoted(self, version: str) -> "Walk":
        """Take a version the whole way."""
        self.wish(stable=self.status.stable, candidate=version)
        self.look()
        while self.status.under_way:
            self.look(PASSED, after=1000)
        return self
