"""How values stand in YAML: camelCase names, durations like `10m`, times in RFC 3339."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel

WIRE: Final = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")
"""Unknown fields are ignored, for a status may be younger than who reads it."""

_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(r"(?:\d+(?:ms|[hms]))+")
_PART: Final = re.compile(r"(\d+)(ms|[hms])")


def seconds_of(duration: str | float) -> float:
    """Read what Gateway API calls a duration: `1h30m`, `500ms`."""
    if not isinstance(duration, str):
        return float(duration)
    if not _DURATION.fullmatch(duration):
        raise ValueError(f"{duration!r} is no duration such as 90s, 10m or 1h30m")
    return sum(int(count) * _UNITS_S[unit] for count, unit in _PART.findall(duration))


def duration_of(seconds: float) -> str:
    """The shortest such duration, to the millisecond."""
    rest_ms = round(seconds * 1000)
    parts = []
    for unit, unit_ms in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest_ms = divmod(rest_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def instant_of(time: str | float) -> float:
    """Unix seconds."""
    if not isinstance(time, str):
        return float(time)
    return datetime.fromisoformat(time).timestamp()


def time_of(instant: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(instant, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Seconds = Annotated[float, BeforeValidator(seconds_of), PlainSerializer(duration_of)]
Instant = Annotated[float, BeforeValidator(instant_of), PlainSerializer(time_of)]
