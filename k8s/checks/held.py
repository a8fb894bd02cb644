"""Which threshold each check holds a candidate to."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

HELD_TO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "samples": "min_requests",
        "success-rate": "success_rate",
        "server-errors": "success_rate",
        "client-errors": "client_errors",
        "empty-rate": "empty_rate",
        "verdict-rate": "verdict_rate",
        "finish-mix": "finish_drift",
        "length-drift": "length_drift",
        "ttft-p50": "slower",
        "ttft-p95": "slower",
        "itl-p50": "slower",
        "itl-p99": "slower",
        "time-per-token": "slower",
        "slow-answers": "slower",
        "gpu-memory": "gpu_memory",
        "refusal-rate": "refusal_rate",
        "similarity": "similarity",
    }
)
"""A field of `Thresholds` by the check's name; a check that is not here has no number to set."""
