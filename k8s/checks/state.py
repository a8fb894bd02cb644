"""Checks of what a candidate is: there, evaluated, unbroken, asked often enough, not too large."""

from k8s.checks.facts import Facts, not_asked, unknown
from k8s.road import Outcome, Verdict


def ready(facts: Facts, name: str) -> Verdict:
    """Somebody answers behind the candidate's Service."""
    outcome = Outcome.PASS if facts.ready else Outcome.WAIT
    message = f"{facts.ready} endpoints are ready"
    return Verdict(check=name, outcome=outcome, message=message, samples=facts.ready)


def evaluated(facts: Facts, name: str) -> Verdict:
    """The report is there; its own checks follow this one."""
    if facts.evaluation is None:
        message = "no report of this attempt, on this model against the stable version, yet"
        return Verdict(check=name, outcome=Outcome.WAIT, message=message)
    if not facts.evaluation:
        return not_asked(name)
    message = f"{len(facts.evaluation)} checks on golden sets"
    return Verdict(check=name, outcome=Outcome.PASS, message=message)


def restarts(facts: Facts, name: str) -> Verdict:
    """No container of the candidate ended under its users."""
    outcome = Outcome.FAIL if facts.restarts else Outcome.PASS
    message = f"{facts.restarts} containers ended since the step began"
    return Verdict(check=name, outcome=outcome, message=message, candidate=facts.restarts, limit=0)


def samples(facts: Facts, name: str) -> Verdict:
    """Enough requests to say anything."""
    seen, least = facts.candidate.requests, facts.thresholds.min_requests
    outcome = Outcome.PASS if seen >= least else Outcome.WAIT
    message = facts.unseen or f"{seen} of {least} requests"
    return Verdict(check=name, outcome=outcome, message=message, samples=seen, limit=least)


def gpu_memory(facts: Facts, name: str) -> Verdict:
    """The fullest GPU, where the policy asks for it."""
    limit, used = facts.thresholds.gpu_memory, facts.candidate.gpu_memory
    if limit is None:
        return not_asked(name)
    if used is None:
        return unknown(facts, name)
    outcome = Outcome.FAIL if used > limit else Outcome.PASS
    message = f"{used:.0%} in use, {limit:.0%} may"
    return Verdict(check=name, outcome=outcome, message=message, candidate=used, limit=limit)
