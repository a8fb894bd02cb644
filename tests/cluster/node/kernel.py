"""Settings of the machine's one kernel that the node changes, and its control groups."""

import json
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.node import places

GROUP = "glm-serve-cluster"
_GROUPS = Path("/sys/fs/cgroup")
_SETTINGS = Path("/proc/sys")
_CHANGED = (  # the first by us, for builds and traffic to pods; the others by the kubelet
    "net/ipv4/ip_forward",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


def prepare() -> None:
    """Note what is set, unless a run that was cut off has; then forward and make the group."""
    if not places.BEFORE.exists():
        before = {name: (_SETTINGS / name).read_text("ascii") for name in _CHANGED}
        places.BEFORE.parent.mkdir(parents=True, exist_ok=True)
        places.BEFORE.write_text(json.dumps(before), encoding="utf-8")
    (_SETTINGS / "net/ipv4/ip_forward").write_text("1", encoding="ascii")
    for hierarchy in _hierarchies():
        (hierarchy / GROUP).mkdir(exist_ok=True)
        _inherit(hierarchy)


def restore() -> None:
    """Back to what was noted; the group's processes have ended."""
    for hierarchy in _hierarchies():
        for group in _leaves_first(hierarchy / GROUP):
            group.rmdir()
    if places.BEFORE.exists():
        for name, value in json.loads(places.BEFORE.read_text(encoding="utf-8")).items():
            (_SETTINGS / name).write_text(value, encoding="ascii")


def _hierarchies() -> list[Path]:
    """One in cgroup v2, one a controller in v1."""
    if (_GROUPS / "cgroup.controllers").exists():
        return [_GROUPS]
    tops = (each for each in _GROUPS.iterdir() if not each.is_symlink())
    return [each for each in tops if (each / "cgroup.procs").exists()]


def _inherit(hierarchy: Path) -> None:
    """A new group has no controllers in v2, and no CPUs in v1, until it is told."""
    offered = hierarchy / "cgroup.controllers"
    if offered.exists():
        wanted = " ".join(f"+{each}" for each in offered.read_text("ascii").split())
        for group in (hierarchy, hierarchy / GROUP):
            (group / "cgroup.subtree_control").write_text(wanted, encoding="ascii")
    for name in ("cpuset.cpus", "cpuset.mems"):
        own = hierarchy / GROUP / name
        if own.exists() and not offered.exists():
            own.write_text((hierarchy / name).read_text("ascii"), encoding="ascii")


def _leaves_first(group: Path) -> Iterator[Path]:
    if group.is_dir():
        for child in group.iterdir():
            if child.is_dir():
                yield from _leaves_first(child)
        yield group
