"""Paired bootstrap: how sure a difference between two models on the same questions is.

Koehn (2004): draw the questions anew, with replacement, many times; the spread of the mean
difference is its uncertainty. Pairs stay together, so that hard questions are hard for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

DRAWS: Final = 2000
CONFIDENCE: Final = 0.95
_SEED: Final = 20261121  # any; the same report every time


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it surely lies."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """Of the mean of values, by percentiles of the drawn means."""
    array = np.asarray(values, dtype=float)
    chosen = np.random.default_rng(_SEED).integers(0, len(array), (DRAWS, len(array)))
    low, high = np.quantile(array[chosen].mean(axis=1), _tails())
    return Interval(float(array.mean()), float(low), float(high))


def difference(candidate: Sequence[float], incumbent: Sequence[float]) -> Interval:
    """Of the mean of paired differences; above 0 the candidate is better."""
    return interval([one - other for one, other in zip(candidate, incumbent, strict=True)])


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
