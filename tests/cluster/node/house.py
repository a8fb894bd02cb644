"""The namespaces the node lives in: its own processes, mounts and network.

Everything the node starts, mounts and routes is inside. So whatever it was doing, it is gone
when the first process of the namespaces is, and there is nothing to search for on the machine.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.cluster.node import places
from tests.cluster.node.shell import Failed, run, wait_for

FIRST = "tests.cluster.node.first"
NAMESPACES = ("--mount", "--net", "--pid", "--uts", "--ipc")
FURNISHED = "furnished"  # a file in the node's /run
_ARGUMENTS = ["-m", FIRST]
_HIDDEN = Path("/var/lib")  # inside, this is the node's own
_START_S = _END_S = 60.0  # to free the memory of many models takes a while


def open_() -> psutil.Process:
    """Start the first process; raises Failed."""
    if places.CACHE.is_relative_to(_HIDDEN):
        raise Failed(f"XDG_CACHE_HOME must not lie in {_HIDDEN}, which the node has of its own")
    for folder in (places.RUN, places.NODE, places.LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    with (places.LOGS / "first.log").open("wb") as log:
        subprocess.Popen(
            [
                "unshare",
                *NAMESPACES,
                "--fork",
                "--propagation",
                "private",
                sys.executable,
                *_ARGUMENTS,
            ],
            cwd=places.REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    furnished = places.RUN / FURNISHED
    wait_for(f"the node's first process ({log.name})", furnished.exists, _START_S)
    return first()


def is_open() -> bool:
    return bool(_firsts())


def close() -> None:
    """End it, and with it by the kernel's hand every process, mount and interface inside."""
    for process in _firsts():
        inside = process.children(recursive=True)
        process.kill()
        _, left = psutil.wait_procs([process, *inside], timeout=_END_S)
        if left:
            raise Failed(f"{len(left)} processes of the node did not end: {left}")


def first() -> psutil.Process:
    for process in _firsts():
        return process
    raise Failed("The cluster is not up; python -m tests.cluster up")


def _firsts() -> list[psutil.Process]:
    """The process that all others of the node hang on; two if a start raced with another.

    Any checkout's Python may run it: there is one node on a machine.
    """
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[1:] == _ARGUMENTS
    ]


def inside(*command: str | Path) -> tuple[str | Path, ...]:
    """The same command in the node's namespaces."""
    return ("nsenter", "--target", str(first().pid), *NAMESPACES, "--", *command)


def processes() -> dict[str, psutil.Process]:
    """Those that run inside, by the names of their programs; of several the eldest."""
    found: dict[str, psutil.Process] = {}
    for child in [child for first in _firsts() for child in first.children()]:
        try:
            found.setdefault(Path(child.cmdline()[0]).name, child)
        except (IndexError, psutil.Error):  # it has just ended
            continue
    return found


# A kernel that shares its CPUs among sessions weighs niceness within one alone, until the whole
# session is given one too.
_NICE = """
if test -w /proc/self/autogroup; then echo "$0" > /proc/self/autogroup; fi
exec nice --adjustment="$0" "$@"
"""


def start(*command: str | Path, niceness: int = 0) -> None:
    """In the background, as a child of the first process; it logs to a file of its name."""
    log = places.LOGS / f"{Path(command[0]).name}.log"
    with log.open("ab") as lines:
        subprocess.run(
            inside("setsid", "--fork", "sh", "-c", _NICE, str(niceness), *command),
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
            env={**os.environ, "KUBECONFIG": ""},
            check=True,
        )


def ask(*command: str | Path) -> str:
    """What a program says that runs inside."""
    return run(*inside(*command))
