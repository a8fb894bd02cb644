"""What a version did over some minutes: counts, and distributions as Prometheus keeps them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

_SERVED: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
_NOT_OURS: Final = frozenset({"abort", "499"})  # the caller hung up; 499 is the status for it
_EMPTY_TOKENS: Final = 1.0  # an answer that is only its end


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

    def up_to_each(self, bounds: Sequence[float]) -> Sequence[float]:
        """Cumulative counts at some of its own bounds."""
        sums = dict(zip(self.bounds, accumulate(self.counts), strict=True))
        return [sums[each] for each in bounds]

    def at_most(self, total: float) -> "Histogram":
        """The same law, resting on no more than so many."""
        share = min(total / self.total, 1.0) if self.total else 1.0
        return Histogram(self.bounds, tuple(share * each for each in self.counts))


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many."""

    hits: float = 0.0
    total: float = 0.0

    @property
    def part(self) -> float | None:
        """0 to 1; None without data."""
        return self.hits / self.total if self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Of one version; None or empty where there is no data, which is never zero."""

    finished: Mapping[str, float] = field(default_factory=dict)
    """Ended generations by vLLM's reason."""
    answered: Mapping[str, float] = field(default_factory=dict)
    """Requests of users, by HTTP status."""
    ttft: Histogram | None = None
    itl: Histogram | None = None
    """Time between two tokens, of all of them."""
    tpot: Histogram | None = None
    """Mean of those of an answer."""
    lengths: Histogram | None = None
    """Generated tokens of an answer."""
    screened: float | None = None
    blocked: float | None = None
    gpu_memory: float | None = None
    """Share of the fullest GPU in use."""
    answers: Mapping[str, float] = field(default_factory=dict)
    """Answers that ended, by whether they open with a refusal."""
    similarity: Histogram | None = None
    """Of mirrored answers to the stable version's, 0 to 1."""

    @property
    def requests(self) -> int:
        """Generations that are judged: a caller who hung up says nothing."""
        return round(self.failed.total)

    @property
    def failed(self) -> Share:
        return _share_of(self.finished, lambda reason: reason not in _SERVED)

    def answered_with(self, hundred: str) -> Share:
        """Answers whose status begins so: `4` is 4xx."""
        return _share_of(self.answered, lambda status: status.startswith(hundred))

    @property
    def gaps(self) -> Histogram | None:
        """`itl`, resting on answers: tokens of one are slow together, so they prove no more."""
        return None if self.itl is None else self.itl.at_most(self.requests)

    @property
    def empty(self) -> Share:
        lengths = self.lengths
        return Share() if lengths is None else Share(lengths.up_to(_EMPTY_TOKENS), lengths.total)

    @property
    def stopped(self) -> Share:
        """By the guard."""
        return Share(self.blocked or 0.0, self.screened or 0.0)

    @property
    def refused(self) -> Share:
        return _share_of(self.answers, lambda kind: kind == "refused")


def _share_of(counts: Mapping[str, float], hit: Callable[[str], bool]) -> Share:
    """Of what is ours to answer for."""
    ours = {kind: count for kind, count in counts.items() if kind not in _NOT_OURS}
    return Share(sum(n for kind, n in ours.items() if hit(kind)), sum(ours.values()))


NOTHING: Final = Sample()
