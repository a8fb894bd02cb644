"""Gates: ordered lists of named checks, one list for every phase that is under way."""

from collections.abc import Callable
from functools import partial
from typing import Final

from k8s import checks
from k8s.checks import Facts
from k8s.road import Phase, Verdict

Check = Callable[[Facts], Verdict]


_OWN: Final[tuple[Check, ...]] = (
    checks.ready,
    checks.restarts,
    checks.samples,
    checks.success_rate,
    checks.server_errors,
    checks.client_errors,
    checks.empty_rate,
    checks.verdict_rate,
    checks.refusal_rate,
)
_LIKE: Final[tuple[Check, ...]] = (
    checks.finish_mix,
    checks.length_drift,
    partial(checks.latency, name="ttft-p50", of="ttft", share=0.5),
    partial(checks.latency, name="ttft-p95", of="ttft", share=0.95),
    partial(checks.latency, name="itl-p50", of="gaps", share=0.5),
    partial(checks.latency, name="itl-p99", of="gaps", share=0.99),
    partial(checks.latency, name="time-per-token", of="tpot", share=0.5),
    checks.slow_answers,
)
"""Of both versions only where both are asked in the same way."""
_LIVE: Final = (*_OWN, *_LIKE, checks.gpu_memory)

GATES: Final[dict[Phase, tuple[Check, ...]]] = {
    Phase.EVALUATING: (checks.ready, checks.evaluated),
    Phase.MIRRORING: (*_LIVE, checks.similarity),
    Phase.CANARY: _LIVE,
}
SCORED: Final[tuple[Check, ...]] = (*_OWN, checks.gpu_memory, checks.similarity)
"""Mirroring's where a scorer asks the candidate: short answers, unstreamed, unlike any user's."""


def judge(phase: Phase, facts: Facts) -> tuple[Verdict, ...]:
    """All checks of a phase's gate, in order; those of the evaluation each by its name."""
    scored = phase is Phase.MIRRORING and facts.scored
    verdicts = tuple(check(facts) for check in (SCORED if scored else GATES.get(phase, ())))
    return verdicts + tuple(facts.evaluation or ()) if phase is Phase.EVALUATING else verdicts
