"""`up` and `down` of the cluster on this machine; `make test-up-and-down` runs them, alone."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster.node import cluster, house, places

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def running() -> Iterator[None]:
    """Up before and after."""
    _command("up")
    yield
    _command("up")


def test_up_comes_up_over_what_a_killed_node_has_left(running: None) -> None:
    first = house.first()
    for process in [*first.children(recursive=True), first]:
        process.kill()
    assert not cluster.node_ready()
    _command("up")
    assert cluster.is_up()


def test_up_comes_up_over_daemons_of_which_some_were_killed(running: None) -> None:
    for name in ("kubelet", "etcd", "containerd"):
        house.processes()[name].kill()
    _command("up")
    assert cluster.is_up()


def test_down_leaves_nothing_and_can_be_asked_twice(running: None) -> None:
    _command("down")
    _command("down")
    assert not places.NODE.exists()
    assert not places.RUN.exists()
    assert not house.is_open()
    assert not [line for line in _traces() if "glm" in line or "KUBE" in line or "cni" in line]


def _traces() -> Iterator[str]:
    """Interfaces, routes, rules, mounts, control groups and processes of this machine."""
    for command in (["ip", "-brief", "link"], ["ip", "route"], ["iptables-save"]):
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        yield from lines.splitlines()
    yield from Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    yield from map(str, Path("/sys/fs/cgroup").glob("**/glm-serve-cluster"))
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or ())
        if str(places.CACHE) in words or house.FIRST in words:
            yield words


def _command(word: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.cluster", word], cwd=places.REPOSITORY, check=True)
