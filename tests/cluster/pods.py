"""Pods for tests, such as a namespace under `restricted` takes them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from tests.cluster.kube import Cluster, Object, Refused

TOKEN = "test-" + "0123456789abcdef" * 2

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(
    name: str,
    image: str,
    *,
    command: Sequence[str] = (),
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    ready: bool = False,
    cpu: str = "100m",
    memory: str = "2Gi",
) -> Object:
    """One container that writes below /tmp and /dev/shm alone; `ready`: /ready must be green."""
    container: Object = {
        "name": "main",
        "image": image,
        "env": [{"name": key, "value": value} for key, value in (environment or {}).items()],
        "securityContext": _RESTRICTED,
        "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}, "limits": {"memory": memory}},
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 -- in the pod
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }
    if command:
        container["command"] = list(command)
    if arguments:
        container["args"] = list(arguments)
    if ready:
        probe = {"httpGet": {"path": "/ready", "port": 8000}, "timeoutSeconds": 10}
        container["readinessProbe"] = probe | {"periodSeconds": 2}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 60,
            "containers": [container],
            "volumes": [
                {"name": "tmp", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
            ],
        },
    }


def headless(name: str, selector: Mapping[str, str], port: int) -> Object:
    """A name in DNS for pods, ready or not."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": dict(selector),
            "ports": [{"port": port}],
        },
    }


def staying(cluster: Cluster, selector: str) -> list[Object]:
    """Those that nobody has told to go: one that leaves may take minutes, for its last answers."""
    found = cluster.get("pods", "", "--selector", selector)["items"]
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


# The container's first process is deaf to a kill from within; it ends when a part of Ray does.
_KILLING = """
import os, pathlib, signal
for each in pathlib.Path("/proc").glob("[0-9]*"):
    program = each.joinpath("cmdline").read_bytes().split(b"\\0")[0]
    if program.endswith(b"/gcs_server"):
        os.kill(int(each.name), signal.SIGKILL)
"""


def crash(cluster: Cluster, pod: str) -> None:
    """Kill Ray's control store in there: the container ends, and Kubernetes starts it again."""
    cluster.kubectl("exec", pod, "--", "python3", "-c", _KILLING)


# Takes more than the limit allows, until somebody is killed for it.
_DEVOURING = """
held = [bytearray(2**26) for _ in range(1024)]
"""
# With control groups of version 2 all processes of a container are killed together. With version 1
# it is the one of the most memory and score: the first, by which the container ends, if scores are
# the others' to lower (they are where the runtime lacks CAP_SYS_RESOURCE, as on our own node).
_OFFERING = """
import pathlib
for each in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        each.joinpath("oom_score_adj").write_text("1000" if each.name == "1" else "0")
    except OSError:
        pass  # it has ended, or its score may not be lowered
"""
_COUNTING = """
import pathlib
for name in ("memory/memory.oom_control", "memory.events"):
    file = pathlib.Path("/sys/fs/cgroup", name)
    if file.exists():
        print(dict(line.split() for line in file.read_text().splitlines())["oom_kill"])
"""


def starve(cluster: Cluster, pod: str, *, whole: bool) -> None:
    """Memory runs out in there; `whole`: its first process is killed, not any."""
    with suppress(Refused):  # whoever is killed
        script = (_OFFERING if whole else "") + _DEVOURING
        cluster.kubectl("exec", pod, "--", "python3", "-c", script)


def starved(cluster: Cluster, pod: str) -> int:
    """Processes that the kernel has killed for their memory since the container began."""
    return int(cluster.kubectl("exec", pod, "--", "python3", "-c", _COUNTING))


def ends(cluster: Cluster, pod: str) -> tuple[int, str]:
    """How often its container was started again, and why it had ended."""
    (status,) = cluster.get("pod", pod)["status"]["containerStatuses"]
    reason = status["lastState"].get("terminated", {}).get("reason", "")
    return status["restartCount"], reason
