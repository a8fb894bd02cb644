"""Gates: ordered lists of named checks, one list for every phase that is under way."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from k8s import checks
from k8s.checks import Facts
from k8s.road import Outcome, Phase, Verdict

_log = logging.getLogger("glm.road")
_told: Final[set[tuple[str, type[Exception]]]] = set()
"""Broken checks of which this process's log tells already, and by which kind of error."""


@dataclass(frozen=True, slots=True)
class Check:
    """A question to the facts, by the name that verdicts have."""

    name: str
    ask: Callable[[Facts, str], Verdict]
    held_to: str = ""
    """The field of `Thresholds` that it holds a candidate to, if there is a number to set."""


_OWN: Final = (
    Check("ready", checks.ready),
    Check("restarts", checks.restarts),
    Check("samples", checks.samples, "min_requests"),
    Check("success-rate", checks.success_rate, "success_rate"),
    Check("server-errors", checks.server_errors, "success_rate"),
    Check("client-errors", checks.client_errors, "client_errors"),
    Check("empty-rate", checks.empty_rate, "empty_rate"),
    Check("verdict-rate", checks.verdict_rate, "verdict_rate"),
    Check("refusal-rate", checks.refusal_rate, "refusal_rate"),
)
_LIKE: Final = (
    Check("finish-mix", checks.finish_mix, "finish_drift"),
    Check("length-drift", checks.length_drift, "length_drift"),
    Check("ttft-p50", partial(checks.latency, of="ttft", share=0.5), "slower"),
    Check("ttft-p95", partial(checks.latency, of="ttft", share=0.95), "slower"),
    Check("itl-p50", partial(checks.latency, of="gaps", share=0.5), "slower"),
    Check("itl-p99", partial(checks.latency, of="gaps", share=0.99), "slower"),
    Check("time-per-token", partial(checks.latency, of="tpot", share=0.5), "slower"),
    Check("slow-answers", checks.slow_answers, "slower"),
)
"""Of both versions only where both are asked in the same way."""
_GPU_MEMORY: Final = Check("gpu-memory", checks.gpu_memory, "gpu_memory")
_SIMILARITY: Final = Check("similarity", checks.similarity, "similarity")
_LIVE: Final = (*_OWN, *_LIKE, _GPU_MEMORY)

GATES: Final[Mapping[Phase, tuple[Check, ...]]] = MappingProxyType(
    {
        Phase.EVALUATING: (Check("ready", checks.ready), Check("evaluated", checks.evaluated)),
        Phase.MIRRORING: (*_LIVE, _SIMILARITY),
        Phase.CANARY: _LIVE,
    }
)
SCORED: Final = (*_OWN, _GPU_MEMORY, _SIMILARITY)
"""Mirroring's where a scorer asks the candidate: short answers, unstreamed, unlike any user's."""

HELD_TO: Final[Mapping[str, str]] = MappingProxyType(
    {check.name: check.held_to for gate in GATES.values() for check in gate if check.held_to}
)
"""A field of `Thresholds` by the check's name."""


def judge(phase: Phase, facts: Facts) -> tuple[Verdict, ...]:
    """All checks of a phase's gate, in order; those of the evaluation each by its name."""
    scored = phase is Phase.MIRRORING and facts.scored
    gate = SCORED if scored else GATES.get(phase, ())
    verdicts = tuple(_asked(check, facts) for check in gate)
    return verdicts + tuple(facts.evaluation or ()) if phase is Phase.EVALUATING else verdicts


def _asked(check: Check, facts: Facts) -> Verdict:
    """WAIT of a check that is broken: the others still say what they see, ways back stay open."""
    try:
        return check.ask(facts, check.name)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it proves nothing of a candidate
        _complain(check.name, error)
        message = f"this check is broken ({type(error).__name__}); the controller's log tells more"
        return Verdict(check=check.name, outcome=Outcome.WAIT, message=message)


def _complain(check: str, error: Exception) -> None:
    """With its traceback once: a road is looked at every second or so."""
    kind = (check, type(error))
    if kind not in _told:
        _told.add(kind)
        _log.error("the check %s is broken", check, exc_info=error)
