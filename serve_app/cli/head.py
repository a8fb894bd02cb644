"""`glm-serve head`: the first pod of a cluster of several; the others are its workers."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app import interrupts
from serve_app.cli.options import ConfigFile
from serve_app.cli.serve import checked, interruptible, progress
from serve_app.errors import Unable

if TYPE_CHECKING:
    from serve_app.messages import ModelCard
    from serve_app.nodes import Node, Offer
    from serve_app.serving import Say
    from serve_app.settings import Settings

Cpus = Annotated[
    int | None,
    typer.Option(
        "--cpus", min=0, help="CPUs for replicas, 0.1 each; default: as many as there are."
    ),
]
Gpus = Annotated[
    int | None, typer.Option("--gpus", min=0, help="GPUs for replicas; default: all there are.")
]


def head(*, file: ConfigFile = None, cpus: Cpus = None, gpus: Gpus = None) -> None:
    """Serve the configured model on a cluster: on this node, and on all workers that join.

    Listens on port 6379 for workers that know the token in RAY_AUTH_TOKEN, or in the file
    RAY_AUTH_TOKEN_PATH.  Told to end, it goes on serving until the workers have left; then
    running answers finish.
    """
    from serve_app.nodes import Offer

    say = progress()
    with interruptible(say):
        settings, card = checked(file, say)
        _run(settings, card, Offer(cpus, gpus), say)


def _run(settings: "Settings", card: "ModelCard", offer: "Offer", say: "Say") -> None:
    from serve_app import control, tuning
    from serve_app.run_folder import run_folder

    with run_folder(alone=is_pod()) as folder:
        tuning.prepare_node(os.environ, settings.server, folder)
        with interrupts.put_off():
            from serve_app import head  # imports Ray, which reads the environment
            from serve_app.switch import Switch

        settings = into_pod_log(settings)
        with (
            head.running(settings, card, folder, offer, say) as node,
            control.listening(folder, settings.server.port, Switch(settings, card)),
        ):
            say(f"{card.name} answers on port {settings.server.port} of every node")
            stay(node)
            _leave(settings.server.max_stream_s, say)


def stay(node: "Node") -> None:
    """Until somebody tells us to end; raises Unable if Ray ends before."""
    interrupts.wait(node.ended)
    if node.ended():
        raise Unable("A process of Ray's on this node has ended; the node must start anew.")


def _leave(max_stream_s: float, say: "Say") -> None:
    """The head is the last to go, for without it the others cannot finish."""
    from serve_app import head, nodes, serving

    say("told to end: serving on until all workers have left")
    until = time.monotonic() + max_stream_s
    nodes.wait(head.is_alone, max_stream_s)
    say("draining: running answers finish, new ones are refused")
    try:
        serving.drain(max(until - time.monotonic(), 0) + max_stream_s)
    except Unable as error:
        say(error.message)


def into_pod_log(settings: "Settings") -> "Settings":
    """Let replicas write where a pod's first process does, unless the operator named a file."""
    if settings.log.file is not None or not is_pod():
        return settings
    log = settings.log.model_copy(update={"file": Path("/proc/1/fd/1")})
    return settings.model_copy(update={"log": log})


def is_pod() -> bool:
    """Nobody else is in here."""
    return os.getpid() == 1
