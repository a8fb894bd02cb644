"""`glm-serve outlast`: a head that KubeRay started leaves after its workers.

KubeRay tells all pods of a cluster to end at once, and `ray start` obeys.  Kubernetes runs this in
the head before it does.
"""

from typing import Annotated

import typer

from serve_app.cli.worker import listens

HERE = "127.0.0.1"

Limit = Annotated[float, typer.Option("--limit", help="Seconds to wait for them, at most.")]


def outlast(*, limit: Limit) -> None:
    """Wait until every worker has left the Ray cluster whose head is on this machine."""
    from serve_app import tuning

    if not listens((HERE, tuning.GCS_PORT)):  # Ray would try for minutes
        return

    from serve_app import head, nodes, serving

    with serving.told_as("Ray"):
        serving.connect(address=f"{HERE}:{tuning.GCS_PORT}")
    nodes.wait(head.is_alone, limit)
