"""Pods for tests, such as a namespace under `restricted` takes them."""

from collections.abc import Mapping, Sequence

from tests.cluster.kube import Cluster, Object

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
