"""The environment that Ray Serve reads at import: the serving chain as measured.

HAProxy and throughput mode only ever come together: throughput mode alone turns on direct
ingress, which without HAProxy leaves every node but the head without a listener.
100-token streams, 8 at a time, 2 cores: 12-18 requests a second by default, 42-67 with both,
219-284 with both and coalesced tokens.
"""

import math
import secrets
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from serve_app.ports import SparePorts
from serve_app.settings import ServerSettings

FAREWELL_S = 10  # drains are this much longer than the longest stream, so that its end arrives


def prepare(environ: MutableMapping[str, str], server: ServerSettings, run_folder: Path) -> None:
    """Fill the environment for a server on this machine; must come before Ray is imported."""
    with SparePorts() as ports:
        environ.update(chain(server))
        environ.update(one_machine(run_folder, ports))


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
    haproxy = run_folder / "h"  # short names: HAProxy takes socket paths of 97 characters
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(next(spare_ports)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(next(spare_ports)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(next(spare_ports)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.5",  # no other node has to hear of it
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # for this run; nothing is left in the home folder
    }
