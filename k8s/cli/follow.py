"""The command that stays until a step has passed."""

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from k8s.cli.keep import keep_verdict
from k8s.cli.options import Out, Patience
from k8s.cli.place import on_road, read
from k8s.errors import Refused, Unreachable

if TYPE_CHECKING:
    from k8s.cluster import Cluster
    from k8s.road import Road

_EVERY_S = 1.0


@on_road
def wait(
    cluster: "Cluster",
    road: "Road",
    step: Annotated[str, typer.Argument(help="evaluate, mirror, canary-<weight> or promoted.")],
    *,
    version: Annotated[str, typer.Option(metavar="VERSION", help="The candidate.")],
    timeout_s: Patience = 3600.0,
    out: Out = None,
) -> None:
    """Follow a release until a step has passed; exit code 1 if it was sent back.

    For pipelines: a step has passed when all its checks did and its time is over.
    """
    from k8s import waiting

    deadline, told = time.monotonic() + timeout_s, ""
    try:
        while time.monotonic() < deadline:
            if road.status.message != told:
                told = road.status.message
                typer.echo(f"{road.status.phase}  {told}")
            if waiting.has_passed(road, version, step):
                return
            time.sleep(_EVERY_S)
            with suppress(Unreachable):  # for a while; only the time that is over ends the waiting
                road = read(cluster, road.name)
    finally:
        keep_verdict(road, out)
    raise Refused(f"{version} has not passed {step} in {timeout_s:.0f} s: {told}")
