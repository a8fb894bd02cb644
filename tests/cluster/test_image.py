"""What is in the product's image, as a restricted pod sees it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import Cluster
from tests.cluster.node import places
from tests.cluster.pods import pod

_LOOK = r"""
import json, os, pathlib, shutil, sys

def writable(place):
    probe = pathlib.Path(place) / "probe"
    try:
        probe.write_text("x")
    except OSError:
        return False
    probe.unlink()
    return True

places = ["/", "/usr", "/opt/glm-serve", "/var", "/home", "/tmp", "/dev/shm"]
tools = ["cc", "gcc", "g++", "clang", "make", "ld", "go", "uv", "curl", "wget", "git"]
bill = json.loads(pathlib.Path("/usr/share/doc/glm-serve/sbom.cdx.json").read_text())
print(json.dumps({
    "user": [os.getuid(), os.getgid()],
    "capabilities": next(line.split()[1] for line in open("/proc/self/status")
                         if line.startswith("CapEff")),
    "writable": [place for place in places if writable(place)],
    "tools": [tool for tool in tools if shutil.which(tool)],
    "installers": [name for name in ("pip", "uv") if any(
        pathlib.Path(path).joinpath(name).exists() for path in sys.path)],
    "bill": bill,
    "sources": [str(each) for each in pathlib.Path("/").glob("build*")],
}))
"""

_LOCKED = re.compile(r"^([a-zA-Z0-9._-]+)==([^\s;]+)(?: ; (.+?))?(?: \\)?$", re.MULTILINE)


@pytest.fixture(scope="module")
def seen(shared_namespace: Cluster, image: str) -> dict[str, Any]:
    looks = pod("looks", image, command=["python3", "-c", _LOOK])
    looked: dict[str, Any] = json.loads(shared_namespace.pod_output(looks))
    return looked


def test_it_runs_as_nobody_special(seen: dict[str, Any]) -> None:
    assert seen["user"] == [10001, 10001]
    assert int(seen["capabilities"], 16) == 0


def test_it_writes_below_tmp_and_shared_memory_alone(seen: dict[str, Any]) -> None:
    assert seen["writable"] == ["/tmp", "/dev/shm"]  # noqa: S108 -- in the pod


def test_it_holds_nothing_that_builds_or_fetches(seen: dict[str, Any]) -> None:
    assert seen["tools"] == []
    assert seen["installers"] == []
    assert seen["sources"] == []


def test_its_bill_of_materials_lists_what_the_lock_names(seen: dict[str, Any]) -> None:
    bill = seen["bill"]
    listed = {(each["name"], each["version"]) for each in bill["components"]}
    lock = (places.REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    wanted = {
        (re.sub(r"[-_.]+", "-", name).lower(), version)
        for name, version, marker in _LOCKED.findall(lock)
        if not marker  # what another platform needs is not here
    }
    assert wanted
    assert wanted <= listed
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "glm-serve"


def test_nothing_of_this_machine_is_in_the_dockerfile() -> None:
    words = Path(places.REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    assert "://" not in words
