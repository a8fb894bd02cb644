"""7. The head of a cluster: Ray's head node and the application, in one pod.

`tuning` must be in the environment before this module is imported, for Ray reads it then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from serve_app import interrupts, nodes, serving, tuning
from serve_app.messages import ModelCard
from serve_app.nodes import Node, Offer
from serve_app.serving import Say
from serve_app.settings import Settings


@contextmanager
def running(
    settings: Settings, card: ModelCard, run_folder: Path, offer: Offer, say: Say
) -> Iterator[Node]:
    """The application, answering on every node that joins; raises CannotStart."""
    say("starting Ray's head")
    with nodes.running(nodes.head_command(run_folder, offer), run_folder) as node:
        try:
            with serving.told_as("Ray"):
                serving.connect(address=f"127.0.0.1:{tuning.GCS_PORT}")
            serving.deploy(settings, card, say)
            yield node
        finally:
            with interrupts.held_off():
                ray.shutdown()


def is_alone() -> bool:
    """Every other node has left the cluster."""
    return len([node for node in ray.nodes() if node["Alive"]]) <= 1
