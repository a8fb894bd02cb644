"""Why a request was refused, in the words its sender got, fit for a log.

What stands in quotes is a name: of ours, or one that the caller chose, and that is never written.
"""

import re

from serve_app.errors import Refused, ServeAppError
from serve_app.ingress.wire.sentences import MUST_BE

_QUOTED = re.compile(r"'[^']*'")
_WITHIN = re.compile(r" \(at .*\)\.$", re.DOTALL)  # names in a caller's schema
_STEP = re.compile(r"[^.\[\]0-9]+")
_OURS = frozenset(step for row in MUST_BE for step in _STEP.findall(row))


def reason(error: ServeAppError) -> str | None:
    """None: its code says all."""
    if not isinstance(error, Refused):
        return None
    return _QUOTED.sub(_known, _WITHIN.sub(".", error.message))


def _known(quoted: re.Match[str]) -> str:
    steps = _STEP.findall(quoted[0].strip("'"))
    return quoted[0] if steps and all(step in _OURS for step in steps) else "'?'"
