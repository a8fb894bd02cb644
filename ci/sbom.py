"""Write a software bill of materials: CycloneDX 1.6 of what is installed in this environment.

    python sbom.py DISTRIBUTION > sbom.cdx.json

Only the standard library, so that the bill does not change what it bills; equal environments give
equal bytes.
"""

# ruff: noqa: INP001 -- a script, not part of a package
import json
import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, distributions
from typing import Any


def bill(subject: str) -> dict[str, Any]:
    """Of the distribution `subject` and everything beside it."""
    parts = {_name(each): each for each in distributions()}
    own = _name(distribution(subject))
    others = [parts[name] for name in sorted(parts) if name != own]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application"} | _component(parts[own])},
        "components": [{"type": "library"} | _component(each) for each in others],
        "dependencies": [
            {"ref": _purl(each), "dependsOn": [_purl(parts[name]) for name in _needs(each, parts)]}
            for each in (parts[own], *others)
        ],
    }


def _component(part: Distribution) -> dict[str, Any]:
    told: dict[str, Any] = {
        "bom-ref": _purl(part),
        "name": _name(part),
        "version": part.version,
        "purl": _purl(part),
    }
    if licences := list(_licences(part)):
        told["licenses"] = licences
    return told


def _licences(part: Distribution) -> Iterable[dict[str, Any]]:
    """An SPDX expression where the distribution has one, or the names of its classifiers."""
    if expressions := part.metadata.get_all("License-Expression"):
        yield {"expression": expressions[0]}
        return
    for classifier in part.metadata.get_all("Classifier") or []:
        if classifier.startswith("License ::"):
            yield {"license": {"name": classifier.rpartition(" :: ")[2]}}


def _needs(part: Distribution, parts: dict[str, Distribution]) -> list[str]:
    """What it asks for and is there, extras left out."""
    wanted = [each for each in part.requires or [] if "extra ==" not in each]
    names = {_normal(re.split(r"[^\w.-]", each, maxsplit=1)[0]) for each in wanted}
    return sorted(names & parts.keys())


def _name(part: Distribution) -> str:
    return _normal(part.metadata["Name"])


def _normal(name: str) -> str:
    """As the package index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _purl(part: Distribution) -> str:
    return f"pkg:pypi/{_name(part)}@{part.version}"


if __name__ == "__main__":
    json.dump(bill(sys.argv[1]), sys.stdout, indent=1)
