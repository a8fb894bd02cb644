"""What is: written by the controller alone, before it acts."""

from dataclasses import field
from enum import StrEnum
from typing import Final

from pydantic.dataclasses import dataclass

from k8s.road.thresholds import StepGates
from k8s.road.wire import WIRE, Instant, Seconds

WHOLE: Final = 100
"""The sum of all weights."""


class Phase(StrEnum):
    """Where a release is on its way."""

    STABLE = "Stable"  # one version has all traffic; there was no candidate yet
    EVALUATING = "Evaluating"  # golden sets, no user's traffic
    MIRRORING = "Mirroring"  # copies of live requests, answers reach nobody
    CANARY = "Canary"  # a share of live traffic, grows step by step
    PROMOTED = "Promoted"  # the candidate is the stable version
    ROLLED_BACK = "RolledBack"  # a gate, a deadline or somebody sent it back
    ABORTED = "Aborted"  # its wish was taken back


UNDER_WAY: Final = frozenset({Phase.EVALUATING, Phase.MIRRORING, Phase.CANARY})


class Outcome(StrEnum):
    """What a check says."""

    PASS = "PASS"  # noqa: S105 -- no password
    FAIL = "FAIL"
    WAIT = "WAIT"


class Role(StrEnum):
    """What a version is to the road."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    WARM = "warm"  # kept, with its replicas
    COLD = "cold"  # kept, may be scaled down
    NEW = "new"  # deployed, not yet asked for
    RETIRED = "retired"  # refused or no longer kept: may be removed


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Step:
    """One entry of a release's plan, taken from the policy when the release began."""

    name: str
    phase: Phase
    weight: int = 0
    mirror: int = 0
    duration: Seconds = 0.0
    deadline: Seconds
    hold: bool = False
    gates: StepGates | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Verdict:
    """One check's answer with the numbers it rests on; None where there were none."""

    check: str
    outcome: Outcome
    message: str
    candidate: float | None = None
    stable: float | None = None
    limit: float | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Weight:
    """A version's share of new requests, in percent."""

    version: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Stable:
    """A version that was promoted."""

    version: str
    promoted_at: Instant
    by: str = ""
    model_digest: str = ""
    image_digest: str = ""
    chart_version: str = ""
    config_digest: str = ""
    evaluation_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Refusal:
    """A candidate that was sent back; the same attempt is not tried again."""

    version: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Hold:
    """The road's own hold, laid by every rollback; lifted by its id alone."""

    id: str
    reason: str
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Transition:
    """One line of the story."""

    number: int
    at: Instant
    event: str
    source: Phase
    target: Phase
    version: str
    step: str | None = None
    message: str = ""
    by: str = ""
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class VersionState:
    """What a version of the spec is, and how many of its endpoints are ready."""

    name: str
    role: Role
    weight: int
    ready: int


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Condition:
    """In Kubernetes' form."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: Instant
    observed_generation: int


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Status:
    """The truth; the route is drawn from it."""

    observed_generation: int = 0
    phase: Phase = Phase.STABLE
    stable: str | None = None
    candidate: str | None = None
    attempt: int = 0
    plan: tuple[Step, ...] = ()
    step: str | None = None
    step_started_at: Instant | None = None
    step_deadline: Instant | None = None
    weights: tuple[Weight, ...] = ()
    mirror_percent: int = 0
    verdicts: tuple[Verdict, ...] = ()
    judged: str | None = None
    """The step that the verdicts are of."""
    decided_on: tuple[Verdict, ...] = ()
    """Those that the last transition was made with, for the ledger."""
    evaluation_digest: str = ""
    stables: tuple[Stable, ...] = ()
    """Newest first; the first one is `stable`."""
    refused: tuple[Refusal, ...] = ()
    retired: tuple[str, ...] = ()
    """Versions that are no longer kept."""
    hold: Hold | None = None
    message: str = ""
    transitions: int = 0
    """How many there ever were: the number of the last one."""
    history: tuple[Transition, ...] = ()
    """The last ones, oldest first; all of them are in the ledger."""
    versions: tuple[VersionState, ...] = ()
    conditions: tuple[Condition, ...] = field(default=())

    @property
    def under_way(self) -> bool:
        return self.phase in UNDER_WAY

    def weight(self, version: str | None) -> int:
        return sum(each.weight for each in self.weights if each.version == version)

    def kept(self, version: str | None) -> Stable | None:
        return next((each for each in self.stables if each.version == version), None)

    def current_step(self) -> Step | None:
        return next((each for each in self.plan if each.name == self.step), None)
