"""`glm-serve worker`: a pod that offers its CPUs or GPUs to the cluster of a head."""

import math
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.head import Cpus, Gpus, is_pod, stay
from serve_app.cli.options import ConfigFile
from serve_app.cli.serve import interruptible, progress
from serve_app.errors import BadSettings, CannotStart

if TYPE_CHECKING:
    from serve_app.nodes import Node, Offer
    from serve_app.serving import Say
    from serve_app.settings import ServerSettings

HEAD_S = 600.0  # a head that has not come by then will not
TRY_S = 2.0

Head = Annotated[str, typer.Argument(metavar="HEAD:PORT", help="Where `glm-serve head` listens.")]


def worker(address: Head, *, file: ConfigFile = None, cpus: Cpus = None, gpus: Gpus = None) -> None:
    """Run replicas for the head at HEAD:PORT, and answer on this node too.

    Needs the head's token in RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, and the same settings.
    Told to end, it moves its replicas to other nodes where there is room; answers under way finish.
    """
    from serve_app import configuration
    from serve_app.nodes import Offer

    say = progress()
    with interruptible(say):
        server = configuration.load(file, os.environ).settings.server
        _run(_parted(address), server, Offer(cpus, gpus), say)


def _run(head: tuple[str, int], server: "ServerSettings", offer: "Offer", say: "Say") -> None:
    from serve_app import node_readiness, nodes, tuning
    from serve_app.run_folder import run_folder

    address = f"{head[0]}:{head[1]}"
    with run_folder(alone=is_pod()) as folder:
        tuning.prepare_node(os.environ, server, folder)
        say(f"looking for the head at {address}")
        if not nodes.wait(lambda: listens(head), HEAD_S):
            raise CannotStart(f"Nobody listens at {address}; is `glm-serve head` running there?")
        say("joining its cluster")
        with (
            node_readiness.listening(server, tuning.READINESS_PORT),
            nodes.running(nodes.worker_command(address, offer), folder) as node,
        ):
            say("joined; replicas may come")
            stay(node)
            _leave(node, address, tuning.node_drain_s(server), say)


def _leave(node: "Node", head: str, drain_s: float, say: "Say") -> None:
    from serve_app import nodes

    say("told to end: replicas move or finish their answers")
    if not node.drain(head, drain_s):
        say("the head does not answer; running answers were cut")
    elif not nodes.wait(lambda: not node.serves(), math.ceil(drain_s)):
        say("some answers were still running and were cut")


def _parted(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise BadSettings(f"{address!r} is no address of a head; expected HOST:PORT.")
    return host, int(port)


def listens(head: tuple[str, int]) -> bool:
    """Whether somebody does there."""
    try:
        socket.create_connection(head, timeout=TRY_S).close()
    except OSError:
        return False
    return True
