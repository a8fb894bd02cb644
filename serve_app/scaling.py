"""How many model replicas there should be: by what is in hand and by what waits, never by CPU.

Ray Serve calls the policy in its controller; bounds and delays around it are Serve's.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

from serve_app.messages import EngineStats

WAITING_TOKENS = "waiting_tokens"


class Look(Protocol):
    """What of Serve's AutoscalingContext is looked at; means over the last half minute."""

    total_num_requests: float
    aggregated_metrics: Mapping[str, Mapping[Any, float]] | None  # by metric, then by replica


class Pressure:
    """As many replicas as bring the requests in hand, and the prompts that wait, to their targets.

    Tokens that wait are the time to the first token: a replica reads them before it answers.
    """

    def __init__(self, *, requests: int, waiting_tokens: int) -> None:
        self._requests = requests
        self._waiting_tokens = waiting_tokens

    def __call__(self, look: Look) -> tuple[int, dict[str, Any]]:
        """The number, and a state that is empty; Serve keeps it within its bounds."""
        waiting = sum((look.aggregated_metrics or {}).get(WAITING_TOKENS, {}).values())
        pressed = (look.total_num_requests / self._requests, waiting / self._waiting_tokens)
        return math.ceil(max(pressed)), {}


def told(stats: EngineStats) -> dict[str, int]:
    """What a replica tells of itself."""
    return {WAITING_TOKENS: stats.waiting_tokens}


def room(gpus: float, there: int) -> int:
    """Replicas that so many GPUs hold: several share one, or each has whole ones of its own."""
    sharing = int(1 / gpus)
    return sharing * there if sharing else int(there / gpus)
