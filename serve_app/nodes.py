"""Ray's own processes of one node of a cluster: how they start, leave and end.

This process and they share a fate: it stays in the foreground of its pod, and when one of them
fails the others are ended, so that the pod starts anew as a whole.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from serve_app import interrupts, tuning
from serve_app.errors import CannotStart

START_S = 120.0  # Ray itself gives up sooner, and says why
ENDING_S = 10.0  # a process of Ray's that has not ended by then is killed
OBJECT_STORE_BYTES = 100 * 1024 * 1024  # token streams never touch it
GLANCE_S = 0.2

_RAY = (sys.executable, "-m", "ray.scripts.scripts")
_STARTED = "Ray runtime started."
_NODE_ID = "--node_id="  # a flag of the raylet
_SERVING = ("ray::ServeReplica", "ray::HAProxyManager")  # Serve ends both when they are idle


@dataclass(frozen=True, slots=True)
class Offer:
    """What replicas may take of this node; None: as much as Ray finds."""

    cpus: int | None = None
    gpus: int | None = None

    def flags(self) -> list[str]:
        counts = {"--num-cpus": self.cpus, "--num-gpus": self.gpus}
        return [f"{flag}={count}" for flag, count in counts.items() if count is not None]


def head_command(run_folder: Path, offer: Offer) -> list[str]:
    """Neither dashboard nor Ray client: both would only be doors to guard."""
    return [
        *_start_command(offer),
        "--head",
        f"--port={tuning.GCS_PORT}",
        f"--temp-dir={run_folder}",
        "--include-dashboard=false",
    ]


def worker_command(head: str, offer: Offer) -> list[str]:
    """`head` is a host and a port."""
    return [*_start_command(offer), f"--address={head}"]


class Node:
    """The processes, while they run."""

    def __init__(self, ray: subprocess.Popen[bytes]) -> None:
        self._ray = ray

    def ended(self) -> bool:
        """By themselves: one of them has failed, or the cluster has given this node up."""
        return self._ray.poll() is not None or self._raylet() is None

    def serves(self) -> bool:
        """A replica runs here, or the HAProxy of this node carries streams of others."""
        with suppress(psutil.Error):
            below = psutil.Process(self._ray.pid).children(recursive=True)
            return any(" ".join(each.cmdline()).startswith(_SERVING) for each in below)
        return not self.ended()

    def drain(self, head: str, deadline_s: float) -> bool:
        """Ask the cluster to move or finish what runs here; False if it does not answer."""
        raylet = self._raylet()
        if raylet is None:
            return False
        (flag,) = (each for each in raylet.cmdline() if each.startswith(_NODE_ID))
        drain = (
            *(*_RAY, "drain-node", f"--address={head}"),
            f"--node-id={flag.removeprefix(_NODE_ID)}",
            "--reason=DRAIN_NODE_REASON_PREEMPTION",  # the reason that nobody may object to
            "--reason-message=its pod was told to end",
            f"--deadline-remaining-seconds={deadline_s:.0f}",
        )
        told = subprocess.run(drain, capture_output=True, check=False)  # noqa: S603 -- our own words
        return told.returncode == 0

    def _raylet(self) -> psutil.Process | None:
        with suppress(psutil.Error):
            for child in psutil.Process(self._ray.pid).children():
                if child.name() == "raylet" and child.status() != psutil.STATUS_ZOMBIE:
                    return child
        return None


@contextmanager
def running(command: Sequence[str], run_folder: Path) -> Iterator[Node]:
    """Ray's processes, which are gone afterwards; raises CannotStart."""
    said = run_folder / "ray-start"
    with said.open("wb") as output:
        ray = subprocess.Popen(  # noqa: S603 -- our own words
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_until_started(ray, said)
        yield Node(ray)
    finally:
        with interrupts.held_off():
            _end(ray, run_folder)


def wait(ended: Callable[[], bool], seconds: float) -> bool:
    """Whether it ended in time."""
    deadline = time.monotonic() + seconds
    while not ended():
        if time.monotonic() > deadline:
            return False
        time.sleep(GLANCE_S)
    return True


def _start_command(offer: Offer) -> list[str]:
    ports = (f"--{name}={port}" for name, port in tuning.NODE_PORTS.items())
    store = f"--object-store-memory={OBJECT_STORE_BYTES}"
    return [*_RAY, "start", "--block", store, *ports, *offer.flags()]


def _wait_until_started(ray: subprocess.Popen[bytes], said: Path) -> None:
    def over() -> bool:
        return _STARTED in said.read_text(errors="replace") or ray.poll() is not None

    if not wait(over, START_S):
        raise CannotStart(f"Ray did not start within {START_S:g} seconds.")
    if ray.poll() is not None:
        lines = said.read_text(errors="replace").split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "no word")
        raise CannotStart(f"Ray did not start: {reason}")


def _end(ray: subprocess.Popen[bytes], run_folder: Path) -> None:
    family = psutil.Process(ray.pid).children(recursive=True) if ray.poll() is None else []
    ray.terminate()
    _kill_after(ENDING_S, [*family, *_named_by(run_folder)])
    _kill_after(0, _named_by(run_folder))  # what HAProxy's manager has started to the last
    ray.wait()


def _named_by(run_folder: Path) -> list[psutil.Process]:
    """Also those whose parents have ended: each was told of its folder."""
    every = psutil.process_iter(["cmdline"])
    return [each for each in every if str(run_folder) in " ".join(each.info["cmdline"] or ())]


def _kill_after(seconds: float, processes: Sequence[psutil.Process]) -> None:
    _, left = psutil.wait_procs(processes, timeout=seconds)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=ENDING_S)
