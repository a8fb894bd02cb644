"""Free memory of this machine, as the process may really use it."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


def free_on_host() -> int:
    """Bytes still available; a container's limit counts, because passing it means being killed."""
    return min([psutil.virtual_memory().available, *_headrooms(_GROUPS, _own_group())])


def _own_group() -> str:
    """This process's path among the control groups (v2), such as `/kubepods/pod1`."""
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return "/"
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")


def _headrooms(groups: Path, own: str) -> Iterator[int]:
    """What each group from ours up to the root may still take."""
    group = groups / own.lstrip("/")
    for folder in (group, *group.parents):
        if folder.is_relative_to(groups):
            headroom = _headroom(folder)
            if headroom is not None:
                yield headroom


def _headroom(group: Path) -> int | None:
    """Limit minus use, where cached files that can be dropped do not count; None: no limit."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    if limit == "max":
        return None
    droppable = next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    return max(0, int(limit) - used + droppable)
