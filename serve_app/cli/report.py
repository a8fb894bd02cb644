"""What a load showed, in numbers."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Trace:
    """One answer as it came: seconds on one clock."""

    asked_at: float
    texts_at: list[float] = field(default_factory=list)
    tokens: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """None where nothing was measured; `errors` counts by message."""

    requests: int
    streams: int
    seconds: float
    tokens: int
    tokens_per_s: float
    first_text_ms_p50: float | None
    first_text_ms_p99: float | None
    between_texts_ms_p50: float | None
    between_texts_ms_p99: float | None
    errors: Mapping[str, int]


def summarise(traces: Sequence[Trace], streams: int, seconds: float) -> Report:
    """Put the answers together; those that failed count as errors alone."""
    good = [trace for trace in traces if trace.error is None]
    first = [trace.texts_at[0] - trace.asked_at for trace in good if trace.texts_at]
    between = [
        later - earlier
        for trace in good
        for earlier, later in zip(trace.texts_at, trace.texts_at[1:], strict=False)
    ]
    tokens = sum(trace.tokens for trace in good)
    return Report(
        requests=len(traces),
        streams=streams,
        seconds=seconds,
        tokens=tokens,
        tokens_per_s=tokens / seconds if seconds else 0.0,
        first_text_ms_p50=_milliseconds(percentile(first, 50)),
        first_text_ms_p99=_milliseconds(percentile(first, 99)),
        between_texts_ms_p50=_milliseconds(percentile(between, 50)),
        between_texts_ms_p99=_milliseconds(percentile(between, 99)),
        errors=dict(Counter(trace.error for trace in traces if trace.error is not None)),
    )


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The smallest value that `percent` of all do not exceed; None without values."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
