"""What should be: written by Helm, pipelines and people, never by the controller."""

from dataclasses import field

from pydantic.dataclasses import dataclass

from k8s.road.thresholds import StepGates, Thresholds
from k8s.road.wire import WIRE, Seconds

PROMOTED = "promoted"
"""The end of every plan, as `advanceTo` names it."""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class ParentRef:
    """The Gateway that the route hangs on."""

    name: str
    namespace: str | None = None
    section_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Version:
    """One immutable model release, held by the Service `glm-<name>`."""

    name: str
    model_digest: str = ""
    image_digest: str = ""
    chart_version: str = ""
    config_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Evaluation:
    """The candidate answers golden sets at weight 0; its report must have come by the deadline."""

    required: bool = True
    deadline: Seconds = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Mirror:
    """Copies of live requests; 0 percent leaves the step out."""

    percent: int = 5
    duration: Seconds = 900.0
    deadline: Seconds = 3600.0
    service: str | None = None
    """Who gets the copies instead of the candidate itself: the scorer, which asks it."""
    hold: bool = False
    gates: StepGates | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class CanaryStep:
    """A share of live traffic, for at least `duration`, at most until `deadline`."""

    weight: int
    duration: Seconds = 600.0
    deadline: Seconds = 3600.0
    hold: bool = False
    """Passed, it waits until a person gives leave; its deadline still ends it."""
    gates: StepGates | None = None


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Policy:
    """How a candidate becomes stable."""

    evaluate: Evaluation = field(default_factory=Evaluation)
    mirror: Mirror = field(default_factory=Mirror)
    canary: tuple[CanaryStep, ...] = (
        CanaryStep(weight=1),
        CanaryStep(weight=10),
        CanaryStep(weight=50),
    )
    gates: Thresholds = field(default_factory=Thresholds)
    interval: Seconds = 10.0
    """Between two looks at the numbers."""
    settle: Seconds = 0.0
    """At the start of a step, while caches are cold: its numbers are not looked at."""
    keep: int = 3
    """Former stable versions to go back to."""
    warm: int = 1
    """Of these, the youngest so many hold their replicas; the older ones may be cold."""
    warm_replicas: int = 1
    """Model replicas of each warm one at least, be its own values lower."""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Pause:
    """A person's hold; only its removal lifts it."""

    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Leave:
    """A person's word that a candidate may go on from a step with a hold; good for that one."""

    version: str
    attempt: int
    step: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Spec:
    """The wish."""

    versions: tuple[Version, ...]
    stable: str
    candidate: str | None = None
    attempt: int = 1
    """A refused candidate is tried anew only under a higher number."""
    advance_to: str = PROMOTED
    """The last step that may be entered: evaluate, mirror, canary-<weight> or promoted."""
    hold: Pause | None = None
    leave: Leave | None = None
    rollback_to: str | None = None
    lift_hold: str | None = None
    """The id of the road's own hold, `status.hold.id`, that somebody overrides."""
    requested_by: str = ""
    parent_refs: tuple[ParentRef, ...] = ()
    hostnames: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)

    @property
    def target(self) -> str:
        """The version that this wish ends at."""
        return self.rollback_to or self.candidate or self.stable

    def version(self, name: str) -> Version | None:
        return next((each for each in self.versions if each.name == name), None)
