"""Places of pinned rules: who has one keeps it, whichever other versions come and go.

A gateway knows a rule by its place, and takes away what leads from the last one before it stops to
lead there. Were a version to move up, who asks for it would meet a place that is gone, or for a
moment another version's. So a place in the middle stays when its version goes, until a new version
takes it or those behind it are gone too.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

VERSION_HEADER: Final = "x-model-version"


def places(live: Mapping[str, Any] | None, versions: Collection[str]) -> Sequence[str]:
    """By place, the version that a rule is for; those that are not in `versions` are gone."""
    standing = _standing(live)
    new = [each for each in versions if each not in standing]
    kept = [each if each in versions or not new else new.pop(0) for each in standing]
    kept += new
    while kept and kept[-1] not in versions:
        kept.pop()
    return kept


def header_match(version: str) -> dict[str, str]:
    """By which a caller says which version shall answer."""
    return {"type": "Exact", "name": VERSION_HEADER, "value": version}


def _standing(live: Mapping[str, Any] | None) -> Sequence[str]:
    """As the route has them; none where somebody has written rules of another form."""
    try:
        rules = live["spec"]["rules"][1:] if live else ()
        names: list[str] = [rule["matches"][0]["headers"][0]["value"] for rule in rules]
    except (LookupError, TypeError):
        return ()
    return names if len(set(names)) == len(names) else ()
