"""Checks: each looks at the facts and says PASS, FAIL or WAIT, with its numbers.

FAIL is proof that the candidate is worse than it may be. PASS is enough requests and no number
beyond its limit. All else is WAIT: no data, too little, or a number beyond its limit that may yet
be chance; the step's deadline ends it.
"""

from k8s.checks.distributions import finish_mix, latency, length_drift, similarity, slow_answers
from k8s.checks.facts import Facts
from k8s.checks.shares import (
    client_errors,
    empty_rate,
    refusal_rate,
    server_errors,
    success_rate,
    verdict_rate,
)
from k8s.checks.state import evaluated, gpu_memory, ready, restarts, samples

__all__ = [
    "Facts",
    "client_errors",
    "empty_rate",
    "evaluated",
    "finish_mix",
    "gpu_memory",
    "latency",
    "length_drift",
    "ready",
    "refusal_rate",
    "restarts",
    "samples",
    "server_errors",
    "similarity",
    "slow_answers",
    "success_rate",
    "verdict_rate",
]
