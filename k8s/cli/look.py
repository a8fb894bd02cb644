"""Commands that look and change nothing."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from k8s.cli.keep import keep_verdict
from k8s.cli.options import As, Out, Output, VersionName
from k8s.cli.place import on_road, read
from k8s.errors import BrokenLedger, Refused

if TYPE_CHECKING:
    from k8s.cluster import Cluster
    from k8s.ledger import Record
    from k8s.road import Road

_EVERY_S = 1.0
_LOOKS = 10
_AS_KEPT = (
    "What is left of it stands above; as it is kept: kubectl get configmaps --selector "
    "glm-serve.io/ledger={road}. Compare it with your last export; ci/ledger.yaml keeps everybody "
    "from taking records away or changing them."
)


@on_road
def status(
    cluster: "Cluster",
    road: "Road",
    *,
    live: Annotated[bool, typer.Option("--live", "-w", help="Stay and follow.")] = False,
    output: As = Output.TEXT,
) -> None:
    """Show phase, weights, verdicts, and what comes next."""
    if output is Output.JSON:
        typer.echo(json.dumps(_plain(road), indent=2, ensure_ascii=False))
    elif live:
        _follow(cluster, road)
    else:
        from k8s.cli import show

        show.screen().print(show.status(road, time.time()))


def _follow(cluster: "Cluster", road: "Road") -> None:
    """Until Ctrl-C."""
    from rich.live import Live

    from k8s.cli import show

    try:
        first = show.status(road, time.time())
        with Live(first, console=show.screen(), auto_refresh=False) as screen:
            while True:
                time.sleep(_EVERY_S)
                now = show.status(read(cluster, road.name), time.time())
                screen.update(now, refresh=True)
    except KeyboardInterrupt:
        return


@on_road
def why(_cluster: "Cluster", road: "Road", *, output: As = Output.TEXT, out: Out = None) -> None:
    """Explain the last verdict in words."""
    from k8s import words

    told = words.why(road, time.time())
    keep_verdict(road, out)
    if output is Output.JSON:
        told = json.dumps({"why": told, **_plain(road)["status"]}, ensure_ascii=False)
    typer.echo(told)


@on_road
def history(
    cluster: "Cluster",
    road: "Road",
    *,
    digests: Annotated[
        bool, typer.Option("--digests", help="Of model, image, chart, configuration and report.")
    ] = False,
    output: As = Output.TEXT,
) -> None:
    """Show the ledger: who released what, on which verdicts.

    A broken chain is an error, told after what there is of it. With `-o json`, one record a line,
    as it is kept: an export that anybody can verify.
    """
    records, faults = _book(cluster, road)
    if output is Output.JSON:
        for record in records:
            typer.echo(record.line())
    else:
        from k8s.cli import show

        show.screen().print((show.digests if digests else show.history)(records))
    if faults:
        told = "; ".join(faults)
        raise BrokenLedger(f"The ledger is broken: {told}. {_AS_KEPT.format(road=road.name)}")


def _book(cluster: "Cluster", road: "Road") -> "tuple[Sequence[Record], Sequence[str]]":
    """What can be read of it, and what is wrong with the rest.

    The controller writes a transition down a moment after it has made it.
    """
    from k8s import ledger

    for _ in range(_LOOKS):
        records, unread = ledger.book(cluster.lines(road.name))
        if unread or ledger.told(records, road) >= road.status.transitions:
            break
        time.sleep(_EVERY_S)
    return records, unread or ledger.faults(records, road)


@on_road
def events(
    cluster: "Cluster",
    road: "Road",
    *,
    output: As = Output.TEXT,
) -> None:
    """Show what the controller told of the road."""
    told = cluster.events(road.name)
    if output is Output.JSON:
        kept = ("lastTimestamp", "type", "reason", "message")
        typer.echo(json.dumps([{name: each[name] for name in kept} for each in told], indent=2))
        return
    from k8s.cli import show

    show.screen().print(show.events(told))


@on_road
def diff(
    cluster: "Cluster",
    road: "Road",
    one: VersionName,
    other: VersionName,
    *,
    output: As = Output.TEXT,
) -> None:
    """Compare two versions: digests, and what their evaluations found."""
    facts = [_facts(cluster, road, name) for name in (one, other)]
    names = list(dict.fromkeys((*facts[0], *facts[1])))
    rows = [(name, facts[0].get(name, ""), facts[1].get(name, "")) for name in names]
    if output is Output.JSON:
        typer.echo(json.dumps({name: [a, b] for name, a, b in rows}, indent=2))
        return
    known = [row for row in rows if any(row[1:])]
    if not known:
        typer.echo(f"Of {one} and {other} nothing is known: no digests, no report.")
        return
    from k8s.cli import show

    show.screen().print(show.difference(known, (one, other)))


def _facts(cluster: "Cluster", road: "Road", name: str) -> Mapping[str, str]:
    version, state = road.spec.version(name), road.status.kept(name)
    if version is None:
        known = ", ".join(each.name for each in road.spec.versions)
        raise Refused(f"No version {name}; there is {known}.")
    summary = cluster.summary(name)
    verdicts = summary.verdicts if summary else ()
    return {
        "model": version.model_digest,
        "image": version.image_digest,
        "chart": version.chart_version,
        "configuration": version.config_digest,
        "promoted by": state.by if state else "",
        **{each.check: f"{each.candidate:.4g}" for each in verdicts if each.candidate is not None},
    }


def _plain(road: "Road") -> dict[str, Any]:
    from k8s.road import render_status
    from k8s.road.resource import render_spec

    return {"name": road.name, "spec": render_spec(road.spec), "status": render_status(road.status)}
