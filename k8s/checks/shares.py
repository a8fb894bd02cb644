"""Checks of shares: how many of a candidate's requests ended in a way that few may."""

from dataclasses import dataclass

from k8s.checks.facts import Facts, not_asked, outcome, unknown
from k8s.evidence import surely_over, upper_share
from k8s.road import Verdict
from k8s.samples import Share


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a share is held to."""

    own: float  # the stable version's
    allowed: float
    proof: float  # what it must surely be over to be refused
    words: str


def success_rate(facts: Facts, name: str) -> Verdict:
    """Generations that broke off count, be it after a 200 and half an answer."""
    mine, theirs = facts.candidate.failed, facts.stable.failed
    return _share(facts, name, mine, _of_failures(facts, theirs, "failed"))


def server_errors(facts: Facts, name: str) -> Verdict:
    """Answers of 5xx: of those too that never came to a generation."""
    mine, theirs = facts.candidate.answered_with("5"), facts.stable.answered_with("5")
    return _share(facts, name, mine, _of_failures(facts, theirs, "were 5xx"))


def client_errors(facts: Facts, name: str) -> Verdict:
    """Answers of 4xx: users of both versions ask alike, so they are refused alike."""
    mine, theirs = facts.candidate.answered_with("4"), facts.stable.answered_with("4")
    limit = _over_stable(theirs, facts.thresholds.client_errors, "were 4xx")
    return _share(facts, name, mine, limit)


def empty_rate(facts: Facts, name: str) -> Verdict:
    """Answers without a text."""
    limit = _over_stable(facts.stable.empty, facts.thresholds.empty_rate, "are empty")
    return _share(facts, name, facts.candidate.empty, limit)


def verdict_rate(facts: Facts, name: str) -> Verdict:
    """Answers that the guard blocked."""
    limit = _over_stable(facts.stable.stopped, facts.thresholds.verdict_rate, "were blocked")
    return _share(facts, name, facts.candidate.stopped, limit)


def refusal_rate(facts: Facts, name: str) -> Verdict:
    """Answers that say that they give none, where the policy asks for it."""
    margin = facts.thresholds.refusal_rate
    if margin is None:
        return not_asked(name)
    limit = _over_stable(facts.stable.refused, margin, "refused to answer")
    return _share(facts, name, facts.candidate.refused, limit)


def _of_failures(facts: Facts, theirs: Share, words: str) -> _Limit:
    """Not more than allowed, or than the stable version has itself."""
    own = theirs.part or 0.0
    allowed = 1 - facts.thresholds.success_rate
    proof = allowed if own <= allowed else upper_share(theirs.hits, theirs.total)
    return _Limit(own, max(allowed, own), proof, words)


def _over_stable(theirs: Share, margin: float, words: str) -> _Limit | None:
    """The stable version's own share and a margin; None without its data."""
    if theirs.part is None:
        return None
    proof = upper_share(theirs.hits, theirs.total) + margin
    return _Limit(theirs.part, theirs.part + margin, proof, words)


def _share(facts: Facts, name: str, mine: Share, limit: _Limit | None) -> Verdict:
    if mine.part is None or limit is None:
        return unknown(facts, name)
    failed = surely_over(mine.hits, mine.total, limit.proof, facts.alpha)
    return Verdict(
        check=name,
        outcome=outcome(facts, mine.total, failed=failed, beyond=mine.part > limit.allowed),
        message=(
            f"{mine.part:.2%} {limit.words}, {limit.allowed:.2%} may, "
            f"{limit.own:.2%} of the stable version's"
        ),
        candidate=mine.part,
        stable=limit.own,
        limit=limit.allowed,
        samples=round(mine.total),
    )
