"""What a version did over some minutes: counts, and distributions as Prometheus keeps them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

_SERVED: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
_NOT_OURS: Final = "abort"  # the caller hung up


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts by bucket; `bounds` are upper ones, ascending, the last one is infinite."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @classmethod
    def of(cls, cumulative: Mapping[float, float]) -> "Histogram":
        """From Prometheus' buckets, each of which counts all below its bound."""
        bounds = tuple(sorted(cumulative))
        sums = [cumulative[each] for each in bounds]
        counts = tuple(
            max(later - before, 0.0) for before, later in zip([0.0, *sums], sums, strict=False)
        )
        return cls(bounds, counts)

    @property
    def total(self) -> float:
        return sum(self.counts)

    def over(self, bound: float) -> float:
        """How many are surely above a value: those in buckets that begin at it or higher."""
        lower = (0.0, *self.bounds[:-1])
        return sum(n for low, n in zip(lower, self.counts, strict=True) if low >= bound)

    def up_to(self, bound: float) -> float:
        """How many are surely not above a value."""
        return sum(n for high, n in zip(self.bounds, self.counts, strict=True) if high <= bound)

    def quantile(self, share: float) -> float:
        """Interpolated in its bucket, as Prometheus does; the last bucket gives its lower bound."""
        rank, below, low = share * self.total, 0.0, 0.0
        for high, count in zip(self.bounds, self.counts, strict=True):
            if count and below + count >= rank:
                return low if math.isinf(high) else low + (high - low) * (rank - below) / count
            below, low = below + count, high if math.isfinite(high) else low
        return low

    def cumulative(self) -> Sequence[float]:
        return list(accumulate(self.counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Of one version; None or empty where there is no data, which is never zero."""

    finished: Mapping[str, float] = field(default_factory=dict)
    """Ended requests by vLLM's reason."""
    ttft: Histogram | None = None
    itl: Histogram | None = None
    tpot: Histogram | None = None
    lengths: Histogram | None = None
    """Generated tokens of an answer."""
    screened: float | None = None
    blocked: float | None = None
    gpu_memory: float | None = None
    """Share of the fullest GPU in use."""
    mirrored: Mapping[str, float] = field(default_factory=dict)
    """Answers to copied requests, by what they were."""
    similarity: Histogram | None = None
    """Of mirrored answers to the stable version's, 0 to 1."""

    @property
    def requests(self) -> int:
        """Those that are judged: a caller who hung up says nothing."""
        return round(sum(n for reason, n in self.finished.items() if reason != _NOT_OURS))

    @property
    def failures(self) -> int:
        known = _SERVED | {_NOT_OURS}
        return round(sum(n for reason, n in self.finished.items() if reason not in known))


NOTHING: Final = Sample()
