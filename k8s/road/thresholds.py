"""What gates hold a candidate to: on the whole road, and otherwise in one step."""

from dataclasses import fields, replace
from typing import Any

from pydantic.dataclasses import dataclass

from k8s.road.wire import WIRE


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class Thresholds:
    """What gates hold a candidate to; rates from 0 to 1."""

    min_requests: int = 100
    """Of the candidate, before any of its numbers passes; proof that it is worse needs no least."""
    alpha: float = 0.01
    """Chance, per step and check, to refuse a candidate that is no worse."""
    success_rate: float = 0.99
    """Or the stable version's own over the same minutes, where that is lower."""
    client_errors: float = 0.02
    """Answers of 4xx, over the stable version's share."""
    slower: float = 1.25
    """How many times the stable version's percentiles a candidate's may be."""
    empty_rate: float = 0.02
    """Answers without a text, over the stable version's share."""
    verdict_rate: float = 0.02
    """Answers that the guard blocked, over the stable version's share."""
    finish_drift: float = 0.15
    """Total variation distance between the mixes of finish reasons."""
    length_drift: float = 0.25
    """Greatest distance between the distributions of answer lengths."""
    refusal_rate: float | None = None
    """Answers that refuse, over the stable version's share."""
    similarity: float | None = None
    """Least median chrF (0 to 1) of mirrored answers against the stable version's."""
    gpu_memory: float | None = None
    """Most memory of a GPU in use."""


@dataclass(frozen=True, slots=True, kw_only=True, config=WIRE)
class StepGates:
    """What a step asks otherwise than the road, each as in `Thresholds`; None: as the road."""

    min_requests: int | None = None
    alpha: float | None = None
    success_rate: float | None = None
    client_errors: float | None = None
    slower: float | None = None
    empty_rate: float | None = None
    verdict_rate: float | None = None
    finish_drift: float | None = None
    length_drift: float | None = None
    refusal_rate: float | None = None
    similarity: float | None = None
    gpu_memory: float | None = None

    def own(self) -> dict[str, Any]:
        """Those that are set, by field."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in said.items() if value is not None}

    def over(self, road: Thresholds) -> Thresholds:
        """The step's wins, field by field."""
        return replace(road, **self.own())
