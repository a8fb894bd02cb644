"""What a release is asked with: a version and its digests, and how often it was tried."""

import re
from dataclasses import dataclass, replace
from typing import Final

from k8s.errors import Refused
from k8s.road import Road, Spec, Version
from k8s.road.spec import PROMOTED

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,46}[a-z0-9])?")
_DIGEST: Final = re.compile(r"(sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a release is asked with."""

    version: Version
    by: str = ""
    again: bool = False
    """Try a version that was refused."""
    override_hold: str | None = None
    """The id of the road's own hold."""
    advance_to: str = PROMOTED


def well_formed(version: Version) -> Version:
    """The same, as the API server will have it; raises Refused."""
    if not _NAME.fullmatch(version.name):
        raise Refused(f"{version.name} is no name of a version: small letters, digits and hyphens.")
    for name, value in _facts(version).items():
        if name.endswith("_digest") and value and not _DIGEST.fullmatch(value):
            raise Refused(f"The {name.replace('_', ' ')} is no SHA-256 of 64 hexadecimal digits.")
    return version


def versions_with(spec: Spec, version: Version) -> tuple[Version, ...]:
    """With the version in its place; what stands of it is kept where nothing else is said."""
    standing = spec.version(version.name)
    if standing is None:
        return (*spec.versions, version)
    given, known = (_facts(each) for each in (version, standing))
    changed = [
        name.replace("_", " ")
        for name, value in given.items()
        if value and known[name] and _bare(known[name]) != _bare(value)
    ]
    if changed:
        raise Refused(f"{version.name} is immutable; its {', '.join(changed)} would change.")
    whole = replace(version, **{name: given[name] or value for name, value in known.items()})
    return tuple(whole if each.name == version.name else each for each in spec.versions)


def attempt(road: Road, order: Order) -> int:
    """One more than the last that was refused; raises Refused where nobody asked for another."""
    tried = [each for each in road.status.refused if each.version == order.version.name]
    if tried and not order.again:
        raise Refused(
            f"{order.version.name} was refused: {tried[-1].reason}. To try it anew: --again"
        )
    return max((each.attempt for each in tried), default=0) + 1


def attempt_of(road: Road, version: str) -> int:
    """The one that is asked for, or that a release would be."""
    tried = [each.attempt for each in road.status.refused if each.version == version]
    last, spec = max(tried, default=0), road.spec
    return spec.attempt if spec.candidate == version and spec.attempt > last else last + 1


def _bare(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _facts(version: Version) -> dict[str, str]:
    return {
        "model_digest": version.model_digest,
        "image_digest": version.image_digest,
        "chart_version": version.chart_version,
        "config_digest": version.config_digest,
    }
