"""The first process of the node's namespaces: gives the folders their places, then buries."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.node import places
from tests.cluster.node.house import FURNISHED

HOSTNAME = "glm-node"
_IDLE_S = 1.0

# Under the node's /var/lib; done before that covers the machine's.
_FOLDERS = {
    "containerd": places.IMAGES,
    "buildkit": places.BUILDS,
    "registry": places.REGISTRY,
}


def main() -> None:
    _furnish()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    (Path("/run") / FURNISHED).touch()
    while True:
        _bury()


def _furnish() -> None:
    subprocess.run(["hostname", HOSTNAME], check=True)
    _mount("-t", "proc", "proc", "/proc")
    for name, folder in _FOLDERS.items():
        place = places.NODE / name
        for each in (folder, place):
            each.mkdir(parents=True, exist_ok=True)
        _mount("--bind", folder, place)
    _mount("--rbind", places.NODE, "/var/lib")
    _mount("--bind", places.LOGS, "/var/log")
    _mount("--bind", places.RUN, "/run")
    _mount("--make-rshared", "/")


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _bury() -> None:
    """Wait for one of those that were left to us: nobody else will."""
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(_IDLE_S)


if __name__ == "__main__":
    main()
