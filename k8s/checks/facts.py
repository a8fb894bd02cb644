"""What a gate looks at, and the outcomes that checks of numbers have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from k8s.road import Outcome, Thresholds, Verdict
from k8s.samples import NOTHING, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a gate looks at."""

    thresholds: Thresholds
    candidate: Sample = NOTHING
    stable: Sample = NOTHING
    ready: int = 0
    """Ready endpoints of the candidate."""
    restarts: int = 0
    """Of its containers since the step began."""
    evaluation: Sequence[Verdict] | None = field(default=())
    """Its report's verdicts; None while one is needed that counts, empty where none is."""
    scored: bool = False
    """Whether a scorer stands between the copies and the candidate."""
    looks: int = 1
    """How often this step may be judged before its deadline."""
    unseen: str = ""
    """Why there are no samples, where asking for them failed."""

    @property
    def alpha(self) -> float:
        return self.thresholds.alpha / max(self.looks, 1)


def outcome(facts: Facts, total: float, *, failed: bool, beyond: bool) -> Outcome:
    """Of a number that rests on `total` requests; `failed` is proof, `beyond` may be chance."""
    if failed:
        return Outcome.FAIL
    if beyond or total < facts.thresholds.min_requests:
        return Outcome.WAIT
    return Outcome.PASS


def unknown(facts: Facts, name: str, message: str = "no data") -> Verdict:
    """No number, so no verdict."""
    return Verdict(check=name, outcome=Outcome.WAIT, message=facts.unseen or message)


def not_asked(name: str) -> Verdict:
    """A check that only some policies have."""
    return Verdict(check=name, outcome=Outcome.PASS, message="the policy does not ask for it")
