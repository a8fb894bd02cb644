"""How a wish gets into the spec, and how one waits until users are home."""

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from k8s.cli.options import Output
from k8s.cli.place import read
from k8s.errors import Conflict, Refused, Unreachable

if TYPE_CHECKING:
    from k8s.cluster import Cluster
    from k8s.road import Road, Spec
    from k8s.wishes import Wish

MANAGER = "kubectl-glm"
_EVERY_S = 0.05  # a rollback is a matter of a second
_TRIES = 20  # the controller writes a few times a second at most


def write(cluster: "Cluster", road: "Road", wish: "Wish", output: Output, said: str) -> None:
    """Only if the road is still where it was looked at, whatever the controller has seen since."""
    for _ in range(_TRIES):
        try:
            cluster.wish(road.name, dict(wish), MANAGER, road.resource_version)
            break
        except Conflict:
            road = _as_before(read(cluster, road.name), road)
    else:
        raise Refused(f"{road.name} changes all the time; try again.")
    say(road, output, said, wish)


def say(road: "Road", output: Output, said: str, wish: "Wish | None" = None) -> None:
    """What was wished for; a program is told of no wish by null."""
    if output is Output.JSON:
        told = {"road": road.name, "wish": None if wish is None else dict(wish)}
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        typer.secho(said, fg=typer.colors.GREEN)


def _as_before(road: "Road", before: "Road") -> "Road":
    """The road as it is now; raises Refused where a wish was thought up for another one."""
    if _place(road) == _place(before):
        return road
    raise Refused(
        f"{road.name} has changed meanwhile and asks for {road.spec.target} now. "
        "Look again: kubectl glm status"
    ) from None


def _place(road: "Road") -> "tuple[Spec, int]":
    return road.spec, road.status.transitions


def go_home(
    cluster: "Cluster",
    road: "Road",
    wish: "Wish",
    timeout_s: float,
    output: Output,
    *,
    waited_s: float = 0.0,
) -> None:
    """Whatever else was written meanwhile: the way back waits for nobody.

    Who had no share yet is home when nothing is under way any more. `waited_s`: since when it has
    been asked for already.
    """
    home = wish.get("rollbackTo") or wish["stable"]
    began, took_s, written = time.monotonic(), 0.0, False
    while took_s <= timeout_s:
        with suppress(Unreachable):  # an API server that is gone for a moment stops nobody
            written = written or bool(cluster.wish(road.name, dict(wish), MANAGER))
        took_s = time.monotonic() - began
        if written and _is_home(cluster, road.name, home):
            asked_s = waited_s + took_s
            told = {"road": road.name, "stable": home, "seconds": round(asked_s, 3)}
            plain = f"{home} has all traffic, {asked_s:.2f} s after it was asked for"
            typer.echo(json.dumps(told) if output is Output.JSON else plain)
            return
        time.sleep(_EVERY_S)
    if not written:
        raise Refused(f"{home} could not be asked for after {timeout_s:.0f} s.")
    raise Refused(
        f"{home} was asked for, but has not all traffic after {timeout_s:.0f} s. "
        "What it waits for: kubectl glm why"
    )


def _is_home(cluster: "Cluster", road: str, home: str) -> bool:
    from k8s.road.route import share_of

    with suppress(Unreachable):
        whole = share_of(cluster.route(road), home) == 1.0
        return whole and not read(cluster, road).status.under_way
    return False
