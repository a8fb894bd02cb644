"""Commands that write a wish into the spec; the controller carries it out."""

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from k8s.cli.options import (
    As,
    Context,
    Name,
    Namespace,
    Out,
    Output,
    OverrideHold,
    asker,
    find,
    keep_verdict,
    read,
)
from k8s.errors import Conflict, Refused

if TYPE_CHECKING:
    from k8s.cluster import Cluster
    from k8s.road import Road, Spec
    from k8s.wishes import Wish

_MANAGER = "kubectl-glm"
_EVERY_S = 0.05  # a rollback is a matter of a second
_PATIENT_S = 1.0
_TRIES = 20  # the controller writes a few times a second at most

Digest = Annotated[str, typer.Option(metavar="SHA256")]
Only = Annotated[
    str | None,
    typer.Option("--version", metavar="VERSION", help="Only if this is the candidate."),
]


def release(
    version: Annotated[str, typer.Argument(help="Its Service glm-<version> must be there.")],
    *,
    model_digest: Digest = "",
    image_digest: Digest = "",
    config_digest: Digest = "",
    chart_version: str = "",
    advance_to: Annotated[
        str, typer.Option(metavar="STEP", help="The last step it may enter by itself.")
    ] = "promoted",
    again: Annotated[bool, typer.Option("--again", help="Although it was refused.")] = False,
    override_hold: OverrideHold = None,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Bring a version on its way: evaluate, mirror, canary, promoted."""
    from k8s import wishes
    from k8s.road import Version

    cluster, found = find(road, namespace, context)
    order = wishes.Order(
        version=Version(
            name=version,
            model_digest=model_digest,
            image_digest=image_digest,
            config_digest=config_digest,
            chart_version=chart_version,
        ),
        by=asker(),
        again=again,
        override_hold=override_hold,
        advance_to=advance_to,
    )
    if wishes.has_begun(found, order):
        typer.echo(f"{version} is on its way already")
        return
    _write(cluster, found, wishes.release(found, order), output, f"{version} is on its way")


def promote(
    *,
    to: Annotated[str, typer.Option(metavar="STEP", help="The last step allowed.")] = "promoted",
    version: Only = None,
    override_hold: OverrideHold = None,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Allow the next steps; the gates still decide when."""
    from k8s import wishes

    cluster, found = find(road, namespace, context)
    wish = wishes.promote(found, to, override_hold, version)
    _write(cluster, found, wish, output, f"{found.status.candidate} may go as far as {to}")


def pause(
    reason: Annotated[str, typer.Option("--reason", "-m", help="For those who find it held.")],
    *,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Let nothing go forward until somebody resumes; the way back stays open."""
    from k8s import wishes

    cluster, found = find(road, namespace, context)
    _write(cluster, found, wishes.pause(reason, asker()), output, f"{found.name} is held")


def resume(
    *,
    hold: Annotated[
        str | None, typer.Option("--hold", metavar="ID", help="The road's own hold, by its id.")
    ] = None,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Lift a hold; a step that was under way begins anew."""
    from k8s import wishes

    cluster, found = find(road, namespace, context)
    _write(cluster, found, wishes.resume(found, hold), output, f"{found.name} goes on")


def abort(
    *,
    version: Only = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = 10.0,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Take the candidate back; exit code 1 if that was not seen in time.

    With --version nothing is left to do where that one is not under way.
    """
    from k8s import wishes

    cluster, found = find(road, namespace, context)
    if version and not (found.status.under_way and found.status.candidate == version):
        typer.echo(f"{version} is not under way: {found.status.message}")
        return
    wish = wishes.abort(found, asker())
    _go_home(cluster, found, wish, timeout_s, output)


def rollback(
    *,
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Default: the last good one.")
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait.")] = 10.0,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Go back to a kept version at once, and stay there until a hold is lifted.

    Streams already open end where they began. Exit code 1 if the route was not seen in time.
    """
    from k8s import wishes

    cluster, found = find(road, namespace, context)
    wish = wishes.rollback(found, to, asker())
    _go_home(cluster, found, wish, timeout_s, output)


def wait(
    step: Annotated[str, typer.Argument(help="evaluate, mirror, canary-<weight> or promoted.")],
    *,
    version: Annotated[str, typer.Option(metavar="VERSION", help="The candidate.")],
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds.")] = 3600.0,
    out: Out = None,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Follow a release until a step has passed; exit code 1 if it was sent back.

    For pipelines: a step has passed when all its checks did and its time is over.
    """
    from k8s import waiting

    cluster, found = find(road, namespace, context)
    deadline, told = time.monotonic() + timeout_s, ""
    try:
        while time.monotonic() < deadline:
            if found.status.message != told:
                told = found.status.message
                typer.echo(f"{found.status.phase}  {told}")
            if waiting.has_passed(found, version, step):
                return
            time.sleep(_PATIENT_S)
            found = read(cluster, found.name)
    finally:
        keep_verdict(found, out)
    raise Refused(f"{version} has not passed {step} in {timeout_s:.0f} s: {told}")


def forget(
    versions: Annotated[list[str], typer.Argument(help="Of role retired.")],
    *,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Take retired versions out of the road; the ledger keeps them."""
    from k8s import wishes

    cluster, found = find(road, namespace, context)
    wish = wishes.forget(found, versions)
    _write(cluster, found, wish, output, f"{', '.join(versions)} taken out of {found.name}")


def _write(cluster: "Cluster", road: "Road", wish: "Wish", output: Output, said: str) -> None:
    """Only if the road is still where it was looked at, whatever the controller has seen since."""
    for _ in range(_TRIES):
        try:
            cluster.wish(road.name, dict(wish), _MANAGER, road.resource_version)
            break
        except Conflict:
            before, road = road, read(cluster, road.name)
            if _place(road) != _place(before):
                raise Refused(
                    f"{road.name} has changed meanwhile and asks for {road.spec.target} now. "
                    "Look again: kubectl glm status"
                ) from None
    else:
        raise Refused(f"{road.name} changes all the time; try again.")
    if output is Output.JSON:
        typer.echo(json.dumps({"road": road.name, "wish": dict(wish)}, ensure_ascii=False))
    else:
        typer.secho(said, fg=typer.colors.GREEN)


def _place(road: "Road") -> "tuple[Spec, int]":
    """What a wish was thought up for: the spec, and how far the road has come."""
    return road.spec, road.status.transitions


def _go_home(
    cluster: "Cluster", road: "Road", wish: "Wish", timeout_s: float, output: Output
) -> None:
    """Whatever else was written meanwhile: the way back waits for nobody.

    Who had no share yet is home when nothing is under way any more.
    """
    from k8s.road.route import share_of

    home = wish.get("rollbackTo") or wish["stable"]
    began = time.monotonic()
    cluster.wish(road.name, dict(wish), _MANAGER)
    while (took_s := time.monotonic() - began) < timeout_s:
        whole = share_of(cluster.route(road.name), home) == 1.0
        if whole and not read(cluster, road.name).status.under_way:
            told = {"road": road.name, "stable": home, "seconds": round(took_s, 3)}
            plain = f"{home} has all traffic, {took_s:.2f} s after it was asked for"
            typer.echo(json.dumps(told) if output is Output.JSON else plain)
            return
        time.sleep(_EVERY_S)
    raise Refused(f"{home} was asked for, but has not all traffic after {timeout_s:.0f} s.")
