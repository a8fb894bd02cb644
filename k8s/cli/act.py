"""Commands that write a wish into the spec; the controller carries it out."""

from typing import TYPE_CHECKING, Annotated

import typer

from k8s.cli.options import As, Digest, Only, Output, OverrideHold, Patience
from k8s.cli.place import asker, on_road
from k8s.cli.write import go_home, say, write
from k8s.errors import Refused

if TYPE_CHECKING:
    from k8s.cluster import Cluster
    from k8s.road import Road


@on_road
def release(
    cluster: "Cluster",
    road: "Road",
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
    output: As = Output.TEXT,
) -> None:
    """Bring a version on its way: evaluate, mirror, canary, promoted."""
    from k8s import wishes
    from k8s.road import Version
    from k8s.road.order import Order
    from k8s.road.route import service_of

    order = Order(
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
    if wishes.has_begun(road, order):
        say(road, output, f"{version} is on its way already")
        return
    wish = wishes.release(road, order)
    if not cluster.has_service(version):
        raise Refused(f"The Service {service_of(version)} is not there: deploy {version} first.")
    write(cluster, road, wish, output, f"{version} is on its way")


@on_road
def promote(
    cluster: "Cluster",
    road: "Road",
    *,
    to: Annotated[str, typer.Option(metavar="STEP", help="The last step allowed.")] = "promoted",
    version: Only = None,
    override_hold: OverrideHold = None,
    output: As = Output.TEXT,
) -> None:
    """Allow the next steps; the gates still decide when."""
    from k8s import wishes

    wish = wishes.promote(road, to, override_hold, version)
    if wishes.is_past(road, to):
        say(road, output, f"{road.status.candidate} is past {to}, at {road.status.step}")
        return
    write(cluster, road, wish, output, f"{road.status.candidate} may go as far as {to}")


@on_road
def pause(
    cluster: "Cluster",
    road: "Road",
    reason: Annotated[str, typer.Option("--reason", "-m", help="For those who find it held.")],
    *,
    output: As = Output.TEXT,
) -> None:
    """Let nothing go forward until somebody resumes; the way back stays open."""
    from k8s import wishes

    write(cluster, road, wishes.pause(reason, asker()), output, f"{road.name} is held")


@on_road
def resume(
    cluster: "Cluster",
    road: "Road",
    *,
    hold: Annotated[
        str | None,
        typer.Option("--hold", metavar="ID", help="The road's own by its id, or a step's by name."),
    ] = None,
    output: As = Output.TEXT,
) -> None:
    """Lift a hold; a step that was paused begins anew."""
    from k8s import wishes

    write(cluster, road, wishes.resume(road, hold, asker()), output, f"{road.name} goes on")


@on_road
def abort(
    cluster: "Cluster",
    road: "Road",
    *,
    version: Only = None,
    timeout_s: Patience = 10.0,
    output: As = Output.TEXT,
) -> None:
    """Take the candidate back; exit code 1 if that was not seen in time.

    With --version nothing is left to do where that one is not under way.
    """
    from k8s import wishes

    if version and version != wishes.asked_for(road):
        say(road, output, f"{version} is not under way: {road.status.message}")
        return
    go_home(cluster, road, wishes.abort(road, asker()), timeout_s, output)


@on_road
def rollback(
    cluster: "Cluster",
    road: "Road",
    *,
    to: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Default: the last good one.")
    ] = None,
    timeout_s: Patience = 10.0,
    output: As = Output.TEXT,
) -> None:
    """Go back to a kept version at once, and stay there until a hold is lifted.

    Streams already open end where they began. Exit code 1 if the route was not seen in time.
    """
    from k8s import wishes

    go_home(cluster, road, wishes.rollback(road, to, asker()), timeout_s, output)


@on_road
def forget(
    cluster: "Cluster",
    road: "Road",
    versions: Annotated[list[str], typer.Argument(help="Of role retired.")],
    *,
    output: As = Output.TEXT,
) -> None:
    """Take retired versions out of the road; the ledger keeps them."""
    from k8s import wishes

    wish = wishes.forget(road, versions)
    write(cluster, road, wish, output, f"{', '.join(versions)} taken out of {road.name}")
