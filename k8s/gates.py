"""Gates: ordered lists of named checks, one list for every phase that is under way."""

from collections.abc import Callable
from functools import partial
from typing import Final

from k8s.checks import (
    Facts,
    empty_rate,
    evaluated,
    finish_mix,
    gpu_memory,
    latency,
    length_drift,
    ready,
    refusal_rate,
    samples,
    similarity,
    success_rate,
    unbroken,
    verdict_rate,
)
from k8s.road import Phase, Verdict

Check = Callable[[Facts], Verdict]


_LIVE: Final[tuple[Check, ...]] = (
    ready,
    unbroken,
    samples,
    success_rate,
    empty_rate,
    verdict_rate,
    finish_mix,
    length_drift,
    partial(latency, name="ttft-p50", of="ttft", share=0.5),
    partial(latency, name="ttft-p95", of="ttft", share=0.95),
    partial(latency, name="itl-p50", of="itl", share=0.5),
    partial(latency, name="itl-p99", of="itl", share=0.99),
    partial(latency, name="time-per-token", of="tpot", share=0.5),
    gpu_memory,
)

GATES: Final[dict[Phase, tuple[Check, ...]]] = {
    Phase.EVALUATING: (ready, evaluated),
    Phase.MIRRORING: (*_LIVE, refusal_rate, similarity),
    Phase.CANARY: _LIVE,
}


def judge(phase: Phase, facts: Facts) -> tuple[Verdict, ...]:
    """All checks of a phase's gate, in order; those of the evaluation each by its name."""
    verdicts = tuple(check(facts) for check in GATES.get(phase, ()))
    return verdicts + tuple(facts.evaluation or ()) if phase is Phase.EVALUATING else verdicts
