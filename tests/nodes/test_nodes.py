"""A node of a cluster: what is asked of Ray, and what is refused before Ray is asked."""

import signal
import sys
from itertools import combinations
from pathlib import Path

import psutil
import pytest

from serve_app import interrupts, nodes, tuning
from serve_app.errors import BadSettings, CannotStart
from serve_app.nodes import Offer
from serve_app.settings import ServerSettings

_TOKEN = {"RAY_AUTH_TOKEN": "0" * 32}


def test_every_port_of_a_node_is_its_own() -> None:
    workers = range(tuning.NODE_PORTS["min-worker-port"], tuning.NODE_PORTS["max-worker-port"] + 1)
    single = [port for name, port in tuning.NODE_PORTS.items() if not name.endswith("worker-port")]
    http, grpc = (range(low, high + 1) for low, high in (tuning.HTTP_PORTS, tuning.GRPC_PORTS))
    ranges = [workers, http, grpc, *(range(port, port + 1) for port in [*single, tuning.GCS_PORT])]
    assert not [pair for pair in combinations(ranges, 2) if set(pair[0]) & set(pair[1])]


def test_the_head_opens_neither_dashboard_nor_more_ports_than_named(tmp_path: Path) -> None:
    command = nodes.head_command(tmp_path, Offer())
    assert "--include-dashboard=false" in command
    named = {word.partition("=")[0] for word in command if "port=" in word}
    assert named == {"--port", *(f"--{name}" for name in tuning.NODE_PORTS)}


def test_a_worker_offers_what_it_is_told_to_and_else_what_ray_finds() -> None:
    command = nodes.worker_command("head:6379", Offer(cpus=0, gpus=2))
    assert {"--address=head:6379", "--num-cpus=0", "--num-gpus=2"} <= set(command)
    silent = nodes.worker_command("head:6379", Offer())
    assert not [word for word in silent if word.startswith("--num-")]


def test_without_a_token_no_node_starts(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="RAY_AUTH_TOKEN"):
        tuning.prepare_node({}, ServerSettings(), tmp_path)


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_is_passed_on_and_asked_of_everyone(name: str, tmp_path: Path) -> None:
    environ = {name: "told"}
    tuning.prepare_node(environ, ServerSettings(), tmp_path)
    assert environ[name] == "told"
    assert environ["RAY_AUTH_MODE"] == "token"


def test_a_node_speaks_the_same_chain_as_one_machine(tmp_path: Path) -> None:
    environ = dict(_TOKEN)
    tuning.prepare_node(environ, ServerSettings(), tmp_path)
    assert tuning.chain(ServerSettings()).items() <= environ.items()


def test_a_node_that_leaves_waits_longer_than_the_longest_stream() -> None:
    server = ServerSettings(max_stream_s=20)
    assert tuning.node_drain_s(server) > server.max_stream_s + tuning.FAREWELL_S


def test_what_ray_says_last_is_the_reason_that_it_did_not_start(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="no room here"):
        _run(tmp_path, "print('first words'); print('no room here'); exit(1)")


def test_all_that_was_started_is_gone_after_a_failed_start(tmp_path: Path) -> None:
    """Also a child that has left its parent: it is known by the folder it was given."""
    orphan = f"[sys.executable, '-c', 'import time; time.sleep(60)', {str(tmp_path)!r}]"
    program = f"import subprocess, sys; subprocess.Popen({orphan}); exit(1)"
    with pytest.raises(CannotStart):
        _run(tmp_path, program)
    every = psutil.process_iter(["cmdline"])
    assert not [each for each in every if str(tmp_path) in (each.info["cmdline"] or [])]


def test_waiting_ends_when_what_is_watched_has_ended() -> None:
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    try:
        interrupts.wait(lambda: True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(folder: Path, program: str) -> None:
    with nodes.running([sys.executable, "-c", program], folder):
        pass
