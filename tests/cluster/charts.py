"""The charts on a cluster: what an operator types, as Python."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve_app.models import manifest
from tests.cluster import pods
from tests.cluster.kube import Cluster
from tests.cluster.node import places

HELM = places.REPOSITORY / "helm"
WEIGHTS = places.REPOSITORY / "serve_app" / "models" / "weights"

Values = dict[str, Any]

MAX_STREAM_S = 120
# What `kubectl rollout undo` has written is kubectl's too: helm must be told to take it back.
OURS = "--force-conflicts"
ASKED = 30  # times
READY_S = 600  # a busy machine of two cores starts Ray in a minute or two, a slow one in several


def image_values(image: str) -> Values:
    repository, _, digest = image.rpartition("@")
    return {"repository": repository, "digest": digest}


def nano(version: str, image: str, /, **more: Any) -> Values:
    """Values of a version of the model in the box, on one pod."""
    values = {
        "version": version,
        "workloads": "plain",
        "image": image_values(image),
        "model": {"name": "glm-nano", "digest": manifest.digest(WEIGHTS / "glm-nano")},
        "workers": {"enabled": False},
        "head": {
            "resources": {
                "requests": {"cpu": "200m", "memory": "1Gi"},
                "limits": {"memory": "3Gi"},
            }
        },
        "config": {"server": {"max_stream_s": MAX_STREAM_S, "ready_deadline_s": 20}},
        "startup": {"base": READY_S},
    }
    return merged(values, more)


def nano_with_workers(version: str, image: str, /, **more: Any) -> Values:
    """Likewise with one worker beside the head; the Secret `ray` must be there."""
    resources = {"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}}
    workers = {"workers": {"enabled": True, "resources": resources}, "ray": {"authSecret": "ray"}}
    return merged(nano(version, image, **workers), more)


def nano_by_kuberay(version: str, image: str, /, **more: Any) -> Values:
    """Likewise, but that a KubeRay operator holds it."""
    resources = {
        "requests": {"cpu": "200m", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "3Gi"},
    }
    held = {
        "workloads": "rayservice",
        "head": {"resources": resources},
        "workers": {"enabled": True, "resources": resources},
    }
    return merged(merged(nano(version, image), held), more)


def ray_secret(cluster: Cluster) -> None:
    token = "--from-literal=auth_token=" + "0" * 32
    cluster.kubectl("create", "secret", "generic", "ray", token)


def redis(cluster: Cluster) -> None:
    """For the control stores of Ray's heads, at redis:6379."""
    image = os.environ.get("GLM_REDIS_IMAGE") or "localhost:5000/redis:1"
    labels = {"app": "redis", "app.kubernetes.io/name": "redis"}
    pod = pods.pod("redis", image, labels=labels, cpu="20m", memory="256Mi")
    cluster.apply(pod, pods.headless("redis", {"app": "redis"}, 6379))
    cluster.wait("pod/redis", "condition=Ready", READY_S)


def merged(values: Values, more: Values) -> Values:
    """As helm lays one file of values over another."""
    both = values | more
    nested = {name for name in values.keys() & more.keys() if isinstance(more[name], dict)}
    return both | {name: merged(values[name], more[name]) for name in nested}


@dataclass(frozen=True, slots=True)
class Release:
    """One Helm release in one namespace."""

    cluster: Cluster
    name: str
    chart: Path
    folder: Path  # for files of values

    def install(self, values: Values, *arguments: str, wait_s: float = READY_S) -> str:
        """Install or upgrade, and wait; raises Refused with what helm says."""
        return self.apply(values, "--wait", f"--timeout={wait_s:.0f}s", *arguments)

    def apply(self, values: Values, *arguments: str) -> str:
        """Install or upgrade, and wait for nothing."""
        file = self.folder / f"{self.name}-values.json"
        file.write_text(json.dumps(values), encoding="utf-8")
        upgrade = ("upgrade", "--install", self.name, self.chart, "--values", file)
        return self.cluster.helm(*upgrade, OURS, *arguments)

    def rollback(self, revision: int) -> str:
        return self.cluster.helm(
            *("rollback", self.name, str(revision), OURS, "--wait", f"--timeout={READY_S}s")
        )


def installed_by_kuberay(version: Release, values: Values) -> None:
    """Helm does not wait for a RayService: nothing in a new one says that it is not ready."""
    version.install(values)
    version.cluster.wait(f"rayservice/{version.name}", "condition=Ready", 600)


def version_release(cluster: Cluster, version: str, folder: Path) -> Release:
    return Release(cluster, f"glm-{version}", HELM / "glm-model", folder)


def platform(cluster: Cluster, image: str, folder: Path, **more: Any) -> Release:
    """The platform with a gateway of the test cluster's class, without a controller."""
    release = Release(cluster, "glm-platform", HELM / "glm-platform", folder)
    values: Values = {
        "image": image_values(image),
        "gateway": {"className": "envoy"},
        "controller": {"enabled": False},
        "crds": {"enabled": False},  # namespaces of tests share one cluster
    }
    release.install(merged(values, more))
    cluster.wait("gateway/glm", "condition=Programmed", READY_S)
    return release


def road(cluster: Cluster, folder: Path, **weights: int) -> Release:
    """A route by hand."""
    release = Release(cluster, "glm-road", HELM / "glm-road", folder)
    release.install({"controller": {"enabled": False}, "weights": weights})
    return release


@contextmanager
def front_door(cluster: Cluster) -> Iterator[str]:
    """The gateway's URL on this machine: its address where a route leads there, as to our own node.

    A forwarded port ends when a connection behind it does so the hard way.
    """
    (address,) = cluster.get("gateway", "glm")["status"]["addresses"]
    if _is_reached(address["value"]):
        yield f"http://{address['value']}"
        return
    gateways = cluster.within("envoy-gateway-system")
    owner = f"gateway.envoyproxy.io/owning-gateway-namespace={cluster.namespace}"
    (service,) = gateways.get("services", "", "--selector", owner)["items"]
    with gateways.forwarded(f"service/{service['metadata']['name']}", 80) as url:
        yield url


def _is_reached(address: str) -> bool:
    """Asked for a while: rules that lead to a new gateway come a moment after it is ready."""
    for _ in range(ASKED):
        with suppress(OSError), socket.create_connection((address, 80), timeout=1):
            return True
        time.sleep(1)
    return False
