"""Go, new enough for Kubernetes: this machine's, or the one that the module proxy serves."""

import json
import re
import shutil
from functools import cache
from pathlib import Path

from tests.cluster.node import packages, places
from tests.cluster.node.shell import run
from tests.cluster.node.steps import step

_VERSION = "1.26.8"
_TOOLCHAIN = f"golang.org/toolchain@v0.0.1-go{_VERSION}.linux-amd64"
_PROGRAMS = ("bin/*", "pkg/tool/linux_amd64/*")


@cache
def program() -> Path:
    """Raises shell.Failed where there is none and none can be had."""
    found = shutil.which("go")
    if found and _is_enough(run(found, "version")):
        return Path(found)
    place = places.TOOLS / f"go-{_VERSION}"
    if not place.is_dir():
        _fetch(place)
    return place / "bin" / "go"


def _is_enough(said: str) -> bool:
    version = re.search(r"go(\d+)\.(\d+)", said)
    wanted = tuple(map(int, _VERSION.split(".")[:2]))
    return version is not None and (int(version[1]), int(version[2])) >= wanted


def _fetch(place: Path) -> None:
    """A module like any other, but that what it holds must be executable."""
    packages.require("go")
    with step(f"fetching Go {_VERSION}"):
        said = json.loads(run("go", "mod", "download", "-json", _TOOLCHAIN))
        part = place.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(said["Dir"], part)
        for each in [each for pattern in _PROGRAMS for each in part.glob(pattern)]:
            each.chmod(0o755)
        part.rename(place)
