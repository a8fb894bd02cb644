"""Programs of the node that Debian has."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.node.shell import Failed, run
from tests.cluster.node.steps import step

_PROGRAMS = {  # and the package each is in
    "containerd": "containerd",
    "runc": "runc",
    "etcd": "etcd-server",
    "docker-registry": "docker-registry",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "curl": "curl",
    "hostname": "hostname",
}
_FOR_BUILDING = {"go": "golang-go"}
_POLICY = Path("/usr/sbin/policy-rc.d")


def require(*programs: str) -> None:
    """Install what is missing of these, or of all the node runs; no service is started by it."""
    known = _PROGRAMS | _FOR_BUILDING
    missing = [known[each] for each in programs or _PROGRAMS if not shutil.which(each)]
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise Failed(f"As root of a Debian machine, install these: {' '.join(missing)}")
    with step(f"installing {' '.join(missing)}"), _no_services():
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "--quiet", env=quiet)
        run("apt-get", "install", "--yes", "--no-install-recommends", *missing, env=quiet)


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian's own way to install a daemon without running it."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
