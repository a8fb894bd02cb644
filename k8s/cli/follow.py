"""The command that stays until a step has passed."""

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from k8s.cli.keep import keep_verdict
from k8s.cli.options import As, Out, Output, Patience
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
    output: As = Output.TEXT,
) -> None:
    """Follow a release until a step has passed; exit code 1 if it was sent back.

    For pipelines: a step has passed when all its checks did and its time is over. With `-o json`,
    one object at the end, whatever the end is.
    """
    from k8s import waiting

    deadline, told, passed = time.monotonic() + timeout_s, "", False
    try:
        while time.monotonic() < deadline:
            if road.status.message != told:
                told = road.status.message
                if output is Output.TEXT:
                    typer.echo(f"{road.status.phase}  {told}")
            if passed := waiting.has_passed(road, version, step):
                return
            time.sleep(_EVERY_S)
            with suppress(Unreachable):  # for a while; only the time that is over ends the waiting
                road = read(cluster, road.name)
    finally:
        keep_verdict(road, out)
        if output is Output.JSON:
            typer.echo(_as_json(road, version, step, passed=passed))
    raise Refused(f"{version} has not passed {step} in {timeout_s:.0f} s: {told}")


def _as_json(road: "Road", version: str, step: str, *, passed: bool) -> str:
    """How the waiting ended, and what the road says."""
    from k8s.road import render_status

    waited = {"road": road.name, "version": version, "step": step, "passed": passed}
    return json.dumps({**waited, "status": render_status(road.status)}, ensure_ascii=False)
