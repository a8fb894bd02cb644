"""The statistics behind the gates.

Every test is one-sided and asks: is the candidate surely worse than it may be? What it may be is
taken from the stable version over the same minutes, at the upper end of its own 95 % interval, so
that chance on the stable side never refuses a candidate.

- Shares (failed, 4xx, 5xx, empty or blocked) and percentiles are tested by the exact binomial test.
  A percentile is a share as well: if at most 5 % may be over some bound, then more than 5 % over it
  means a p95 over it. No distribution is assumed, and the long tails of latency do no harm.
- The bound of a percentile is the stable version's, taken by order statistics (binomial again).
- What is counted is answers. Tokens of one answer are slow together, so the times between them
  prove no more than as many answers.
- Mixes of reasons are compared by chi-squared, distributions of lengths by Kolmogorov-Smirnov on
  the buckets, which makes it careful: it sees a difference too small, never too large. Both refuse
  only what is also large, for with many requests every difference is significant.

A step looks many times at growing numbers. The chance of a false alarm is shared out over all looks
that its deadline leaves time for (Bonferroni), so that it holds for the whole step.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Final

import numpy as np
from scipy import stats

from k8s.samples import Histogram

CONFIDENCE: Final = 0.95
_LEAST_EXPECTED: Final = 1.0  # chi-squared is not to be trusted on columns rarer than this


def surely_over(hits: float, total: float, allowed: float, alpha: float) -> bool:
    """Whether a share is proven to be over what is allowed."""
    if total <= 0 or allowed >= 1:
        return False
    hits, total = min(round(hits), round(total)), round(total)
    return bool(total and stats.binomtest(hits, total, allowed, "greater").pvalue < alpha)


def upper_share(hits: float, total: float) -> float:
    """The upper end of a share's interval (Clopper-Pearson); 1 without data."""
    hits, total = round(hits), round(total)
    if hits >= total:
        return 1.0
    return float(stats.beta.ppf(CONFIDENCE, hits + 1, total - hits))


def upper_quantile(histogram: Histogram, share: float) -> float:
    """The upper end of a percentile's interval, by the rank that the binomial law gives it."""
    total = round(histogram.total)
    if not total:
        return float("inf")
    rank = stats.binom.ppf(CONFIDENCE, total, share) + 1
    return histogram.quantile(min(rank / total, 1.0))


def total_variation(one: Sequence[float], other: Sequence[float]) -> float:
    """Half the sum of differences between two mixes: 0 alike, 1 nothing in common."""
    shares = np.array(one) / sum(one), np.array(other) / sum(other)
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def mixes_differ(one: Sequence[float], other: Sequence[float], alpha: float) -> bool:
    """Chi-squared over the columns that are common enough for it."""
    table = np.round(np.array([one, other]))
    expected = table.sum(axis=0) * table.sum(axis=1).min() / max(table.sum(), 1.0)
    table = table[:, expected >= _LEAST_EXPECTED]
    if table.shape[1] < 2 or not table.sum(axis=1).all():  # noqa: PLR2004 -- one column is no mix
        return False
    return bool(stats.chi2_contingency(table).pvalue < alpha)


def comparable(one: Histogram, other: Histogram) -> Sequence[float]:
    """Bounds that both have; a version may count in other buckets than the one before it."""
    return sorted(bound for bound in {*one.bounds} & {*other.bounds} if isfinite(bound))


def distance(one: Histogram, other: Histogram) -> float:
    """Greatest difference between the two cumulative shares (Kolmogorov-Smirnov's D)."""
    bounds = comparable(one, other)
    shares = [np.array(each.up_to_each(bounds)) / each.total for each in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max(initial=0.0))


def distributions_differ(one: Histogram, other: Histogram, alpha: float) -> bool:
    """By Kolmogorov-Smirnov's two-sample test."""
    together = round(one.total * other.total / (one.total + other.total))
    return together > 0 and bool(stats.kstwo.sf(distance(one, other), together) < alpha)
