"""Checks: each looks at the facts and says PASS, FAIL or WAIT, with its numbers.

FAIL is proof that the candidate is worse than it may be. PASS is enough requests and no number
beyond its limit. All else is WAIT: no data, too little, or a number beyond its limit that may yet
be chance; the step's deadline ends it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from k8s.evidence import (
    distance,
    distributions_differ,
    mixes_differ,
    surely_over,
    total_variation,
    upper_quantile,
    upper_share,
)
from k8s.road import Outcome, Thresholds, Verdict
from k8s.samples import NOTHING, Histogram, Sample

_EMPTY_TOKENS: Final = 1.0  # an answer that is only its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a gate looks at."""

    thresholds: Thresholds
    candidate: Sample = NOTHING
    stable: Sample = NOTHING
    ready: int = 0
    """Ready endpoints of the candidate."""
    restarts: int = 0
    """Of its containers since the step began."""
    evaluation: Sequence[Verdict] | None = field(default=())
    """Its report's verdicts; None while there is no report of this very model."""
    looks: int = 1
    """How often this step may be judged before its deadline."""
    unseen: str = ""
    """Why there are no samples, where asking for them failed."""

    @property
    def alpha(self) -> float:
        return self.thresholds.alpha / max(self.looks, 1)


def ready(facts: Facts) -> Verdict:
    """Somebody answers behind the candidate's Service."""
    outcome = Outcome.PASS if facts.ready else Outcome.WAIT
    message = f"{facts.ready} endpoints are ready"
    return Verdict(check="ready", outcome=outcome, message=message, samples=facts.ready)


def evaluated(facts: Facts) -> Verdict:
    """The report is there; its own checks follow this one."""
    if facts.evaluation is None:
        message = "no report on this model yet"
        return Verdict(check="evaluated", outcome=Outcome.WAIT, message=message)
    message = f"{len(facts.evaluation)} checks on golden sets"
    return Verdict(check="evaluated", outcome=Outcome.PASS, message=message)


def unbroken(facts: Facts) -> Verdict:
    """No container of the candidate ended under its users."""
    outcome = Outcome.FAIL if facts.restarts else Outcome.PASS
    message = f"{facts.restarts} restarts since the step began"
    return Verdict(
        check="restarts", outcome=outcome, message=message, candidate=facts.restarts, limit=0
    )


def samples(facts: Facts) -> Verdict:
    """Enough requests to say anything."""
    seen, least = facts.candidate.requests, facts.thresholds.min_requests
    outcome = Outcome.PASS if seen >= least else Outcome.WAIT
    message = facts.unseen or f"{seen} of {least} requests"
    return Verdict(check="samples", outcome=outcome, message=message, samples=seen, limit=least)


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a share is held to."""

    own: float  # the stable version's
    allowed: float
    proof: float  # what it must surely be over to be refused
    words: str


def success_rate(facts: Facts) -> Verdict:
    """Not more failures than allowed, or than the stable version has itself."""
    mine, theirs = facts.candidate, facts.stable
    own = theirs.failures / theirs.requests if theirs.requests else 0.0
    allowed = 1 - facts.thresholds.success_rate
    proof = allowed if own <= allowed else upper_share(theirs.failures, theirs.requests)
    limit = _Limit(own, max(allowed, own), proof, "failed")
    return _share(facts, "success-rate", (mine.failures, mine.requests), limit)


def empty_rate(facts: Facts) -> Verdict:
    """Answers without a text."""
    mine, theirs, margin = facts.candidate, facts.stable, facts.thresholds.empty_rate
    limit = _over_stable(_empty(theirs), margin, "are empty")
    return _share(facts, "empty-rate", _empty(mine), limit)


def _empty(sample: Sample) -> tuple[float, float]:
    lengths = sample.lengths
    return (0.0, 0.0) if lengths is None else (lengths.up_to(_EMPTY_TOKENS), lengths.total)


def verdict_rate(facts: Facts) -> Verdict:
    """Answers that the guard blocked."""
    mine, theirs, margin = facts.candidate, facts.stable, facts.thresholds.verdict_rate
    limit = _over_stable(_blocked(theirs), margin, "were blocked")
    return _share(facts, "verdict-rate", _blocked(mine), limit)


def _blocked(sample: Sample) -> tuple[float, float]:
    return sample.blocked or 0.0, sample.screened or 0.0


def refusal_rate(facts: Facts) -> Verdict:
    """Mirrored answers that say that they give none, where the policy asks for it."""
    margin = facts.thresholds.refusal_rate
    if margin is None:
        return _not_asked("refusal-rate")
    limit = _over_stable(_refused(facts.stable), margin, "refused to answer")
    return _share(facts, "refusal-rate", _refused(facts.candidate), limit)


def _refused(sample: Sample) -> tuple[float, float]:
    return sample.mirrored.get("refused", 0.0), sum(sample.mirrored.values())


def _over_stable(theirs: tuple[float, float], margin: float, words: str) -> _Limit | None:
    """The stable version's own share and a margin; None without its data."""
    if not theirs[1]:
        return None
    own = theirs[0] / theirs[1]
    return _Limit(own, own + margin, upper_share(*theirs) + margin, words)


def _share(facts: Facts, name: str, mine: tuple[float, float], limit: _Limit | None) -> Verdict:
    hits, total = mine
    if not total or limit is None:
        return _unknown(facts, name, "no data")
    share = hits / total
    failed = surely_over(hits, total, limit.proof, facts.alpha)
    return Verdict(
        check=name,
        outcome=_outcome(facts, total, failed=failed, beyond=share > limit.allowed),
        message=(
            f"{share:.2%} {limit.words}, {limit.allowed:.2%} may, "
            f"{limit.own:.2%} of the stable version's"
        ),
        candidate=share,
        stable=limit.own,
        limit=limit.allowed,
        samples=round(total),
    )


def latency(facts: Facts, *, name: str, of: str, share: float) -> Verdict:
    """A percentile against the stable version's over the same minutes, in seconds."""
    mine: Histogram | None = getattr(facts.candidate, of)
    theirs: Histogram | None = getattr(facts.stable, of)
    if mine is None or theirs is None or not mine.total or not theirs.total:
        return _unknown(facts, name, "no data")
    slower = facts.thresholds.slower
    value, own = mine.quantile(share), theirs.quantile(share)
    proof = slower * max(upper_quantile(theirs, share), own)
    failed = surely_over(mine.over(proof), mine.total, 1 - share, facts.alpha)
    return Verdict(
        check=name,
        outcome=_outcome(facts, mine.total, failed=failed, beyond=value > own * slower),
        message=f"{_ms(value)}, {_ms(own * slower)} allowed, {_ms(own)} in the stable version",
        candidate=value,
        stable=own,
        limit=own * slower,
        samples=round(mine.total),
    )


def finish_mix(facts: Facts) -> Verdict:
    """How answers end: a model that never stops, or always calls a tool, shows here."""
    reasons = sorted(facts.candidate.finished.keys() | facts.stable.finished.keys())
    mine, theirs = (
        [each.finished.get(reason, 0.0) for reason in reasons]
        for each in (facts.candidate, facts.stable)
    )
    if not sum(mine) or not sum(theirs):
        return _unknown(facts, "finish-mix", "no data")
    apart, limit = total_variation(mine, theirs), facts.thresholds.finish_drift
    differ = mixes_differ(mine, theirs, facts.alpha)
    return _drift(facts, "finish-mix", apart, limit, sum(mine), differ=differ)


def length_drift(facts: Facts) -> Verdict:
    """How long answers are."""
    mine, theirs = facts.candidate.lengths, facts.stable.lengths
    if not mine or not theirs or not mine.total or not theirs.total:
        return _unknown(facts, "length-drift", "no data")
    apart, limit = distance(mine, theirs), facts.thresholds.length_drift
    differ = distributions_differ(mine, theirs, facts.alpha)
    return _drift(facts, "length-drift", apart, limit, mine.total, differ=differ)


def _drift(
    facts: Facts, name: str, apart: float, limit: float, total: float, *, differ: bool
) -> Verdict:
    enough = total >= facts.thresholds.min_requests  # these tests are exact for many only
    beyond = apart > limit
    return Verdict(
        check=name,
        outcome=_outcome(facts, total, failed=enough and beyond and differ, beyond=beyond),
        message=f"{apart:.2f} apart from the stable version's (0 alike, 1 apart), {limit:.2f} may",
        candidate=apart,
        limit=limit,
        samples=round(total),
    )


def similarity(facts: Facts) -> Verdict:
    """Mirrored answers against the stable version's: half of them must be as near as asked."""
    name, least, mine = "similarity", facts.thresholds.similarity, facts.candidate.similarity
    if least is None:
        return _not_asked(name)
    if mine is None or not mine.total:
        return _unknown(facts, name, "no mirrored answer was scored yet")
    value = mine.quantile(0.5)
    failed = surely_over(mine.up_to(least), mine.total, 0.5, facts.alpha)
    return Verdict(
        check=name,
        outcome=_outcome(facts, mine.total, failed=failed, beyond=value < least),
        message=f"median {value:.2f}, at least {least:.2f}",
        candidate=value,
        limit=least,
        samples=round(mine.total),
    )


def gpu_memory(facts: Facts) -> Verdict:
    """The fullest GPU, where the policy asks for it."""
    name, limit, used = "gpu-memory", facts.thresholds.gpu_memory, facts.candidate.gpu_memory
    if limit is None:
        return _not_asked(name)
    if used is None:
        return _unknown(facts, name, "no data")
    outcome = Outcome.FAIL if used > limit else Outcome.PASS
    message = f"{used:.0%} in use, {limit:.0%} may"
    return Verdict(check=name, outcome=outcome, message=message, candidate=used, limit=limit)


def _outcome(facts: Facts, total: float, *, failed: bool, beyond: bool) -> Outcome:
    if failed:
        return Outcome.FAIL
    if beyond or total < facts.thresholds.min_requests:
        return Outcome.WAIT
    return Outcome.PASS


def _unknown(facts: Facts, name: str, message: str) -> Verdict:
    return Verdict(check=name, outcome=Outcome.WAIT, message=facts.unseen or message)


def _not_asked(name: str) -> Verdict:
    return Verdict(check=name, outcome=Outcome.PASS, message="the policy does not ask for it")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
