"""Checks of distributions: how long a candidate takes, how its answers end, what they are like."""

from typing import Final

from k8s.checks.facts import Facts, not_asked, outcome, unknown
from k8s.evidence import (
    comparable,
    distance,
    distributions_differ,
    mixes_differ,
    surely_over,
    total_variation,
    upper_quantile,
    upper_share,
)
from k8s.road import Verdict
from k8s.samples import Histogram

_MORE_SLOW: Final = 0.05  # of all answers; `slower` is what a policy sets


def latency(facts: Facts, name: str, *, of: str, share: float) -> Verdict:
    """A percentile against the stable version's over the same minutes, in seconds."""
    mine: Histogram | None = getattr(facts.candidate, of)
    theirs: Histogram | None = getattr(facts.stable, of)
    if mine is None or theirs is None or not mine.total or not theirs.total:
        return unknown(facts, name)
    slower = facts.thresholds.slower
    value, own = mine.quantile(share), theirs.quantile(share)
    proof = slower * max(upper_quantile(theirs, share), own)
    failed = surely_over(mine.over(proof), mine.total, 1 - share, facts.alpha)
    return Verdict(
        check=name,
        outcome=outcome(facts, mine.total, failed=failed, beyond=value > own * slower),
        message=f"{_ms(value)}, {_ms(own * slower)} allowed, {_ms(own)} in the stable version",
        candidate=value,
        stable=own,
        limit=own * slower,
        samples=round(mine.total),
    )


def slow_answers(facts: Facts, name: str) -> Verdict:
    """Answers beyond what their median may be, over the stable version's share of such ones.

    Where half of the answers must be slow to prove a median, a few prove this: one user in a
    hundred need not wait for the proof of fifteen.
    """
    mine, theirs = facts.candidate.tpot, facts.stable.tpot
    if mine is None or theirs is None or not mine.total or not theirs.total:
        return unknown(facts, name)
    bound = facts.thresholds.slower * max(upper_quantile(theirs, 0.5), theirs.quantile(0.5))
    slow, own = mine.over(bound), theirs.over(bound)
    allowed = upper_share(own, theirs.total) + _MORE_SLOW
    failed = surely_over(slow, mine.total, allowed, facts.alpha)
    return Verdict(
        check=name,
        outcome=outcome(facts, mine.total, failed=failed, beyond=False),
        message=f"{slow / mine.total:.2%} take over {_ms(bound)} a token, {allowed:.2%} may",
        candidate=slow / mine.total,
        stable=own / theirs.total,
        limit=allowed,
        samples=round(mine.total),
    )


def finish_mix(facts: Facts, name: str) -> Verdict:
    """How answers end: a model that never stops, or always calls a tool, shows here."""
    reasons = sorted(facts.candidate.finished.keys() | facts.stable.finished.keys())
    mine, theirs = (
        [each.finished.get(reason, 0.0) for reason in reasons]
        for each in (facts.candidate, facts.stable)
    )
    if not sum(mine) or not sum(theirs):
        return unknown(facts, name)
    apart, limit = total_variation(mine, theirs), facts.thresholds.finish_drift
    differ = mixes_differ(mine, theirs, facts.alpha)
    return _drift(facts, name, apart, limit, sum(mine), differ=differ)


def length_drift(facts: Facts, name: str) -> Verdict:
    """How long answers are."""
    mine, theirs = facts.candidate.lengths, facts.stable.lengths
    if not mine or not theirs or not mine.total or not theirs.total:
        return unknown(facts, name)
    if not comparable(mine, theirs):
        return unknown(facts, name, "the two versions count lengths in other buckets")
    apart, limit = distance(mine, theirs), facts.thresholds.length_drift
    differ = distributions_differ(mine, theirs, facts.alpha)
    return _drift(facts, name, apart, limit, mine.total, differ=differ)


def _drift(
    facts: Facts, name: str, apart: float, limit: float, total: float, *, differ: bool
) -> Verdict:
    enough = total >= facts.thresholds.min_requests  # these tests are exact for many only
    beyond = apart > limit
    return Verdict(
        check=name,
        outcome=outcome(facts, total, failed=enough and beyond and differ, beyond=beyond),
        message=f"{apart:.2f} apart from the stable version's (0 alike, 1 apart), {limit:.2f} may",
        candidate=apart,
        limit=limit,
        samples=round(total),
    )


def similarity(facts: Facts, name: str) -> Verdict:
    """Mirrored answers against the stable version's: half of them must be as near as asked."""
    least, mine = facts.thresholds.similarity, facts.candidate.similarity
    if least is None:
        return not_asked(name)
    if mine is None or not mine.total:
        return unknown(facts, name, "no mirrored answer was scored yet")
    value = mine.quantile(0.5)
    failed = surely_over(mine.up_to(least), mine.total, 0.5, facts.alpha)
    return Verdict(
        check=name,
        outcome=outcome(facts, mine.total, failed=failed, beyond=value < least),
        message=f"median {value:.2f}, at least {least:.2f}",
        candidate=value,
        limit=least,
        samples=round(mine.total),
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
