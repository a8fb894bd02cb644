"""`kubectl glm evaluate`: golden sets against an endpoint, in a pipeline, a Job or by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from k8s.cli.options import As, Context, Name, Namespace, Output
from k8s.cli.place import find
from k8s.errors import Refused

if TYPE_CHECKING:
    from k8s.road import Road

WORSE = 3
"""The exit code of a FAIL: to ask again would not help, and a Job need not try."""
_MARGIN = 0.05


def evaluate(
    version: Annotated[str, typer.Argument(help="The candidate's name.")],
    *,
    url: Annotated[str, typer.Option(metavar="URL", help="An OpenAI endpoint, or a gateway.")],
    pin: Annotated[
        bool, typer.Option(help="Ask the named versions by the gateway's header.")
    ] = True,
    against: Annotated[
        str, typer.Option(metavar="VERSION", help="The version it would replace.")
    ] = "",
    against_url: Annotated[
        str, typer.Option(metavar="URL", help="Where that one is; default: the same.")
    ] = "",
    digest: Annotated[
        str, typer.Option(metavar="SHA256", help="Of the candidate's model; makes it cacheable.")
    ] = "",
    against_digest: Annotated[str, typer.Option(metavar="SHA256")] = "",
    golden: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="File or folder; may be repeated. Default: ci/golden."),
    ] = None,
    margin: Annotated[float, typer.Option(help="How much worse a score may be.")] = _MARGIN,
    out: Annotated[Path, typer.Option(metavar="FOLDER")] = Path("evaluation"),
    cache: Annotated[Path | None, typer.Option(metavar="FOLDER")] = None,
    record: Annotated[
        bool, typer.Option(help="Put the verdicts into the cluster, where the road waits.")
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="It is recorded for; default: as the road has it."),
    ] = None,
    road: Name = None,
    namespace: Namespace = None,
    context: Context = None,
    output: As = Output.TEXT,
) -> None:
    """Ask golden sets, compare with the incumbent, write reports.

    Exit code 3 if anything is surely worse, 1 if there are too few questions to tell or nobody
    answers. With --record too few are no failure: the road waits for more, until its deadline.
    A record counts for one attempt of the road, against the version that is stable then; none is
    begun of a version that users or their copies reach, whose gate would count the questions too.

    Writes report.json, summary.json, summary.md, junit.xml and scores.png.
    """
    from k8s.evaluation import evaluate as compare
    from k8s.evaluation import golden as sets
    from k8s.evaluation import report
    from k8s.evaluation.asking import Endpoint
    from k8s.evaluation.comparison import Side
    from k8s.reports import refuse_if_past
    from k8s.road import Outcome
    from k8s.road.order import attempt_of

    def side(name: str, address: str, model_digest: str) -> Side:
        return Side(name, Endpoint(address, pin=name if pin else ""), model_digest)

    questions = sets.read(_files(golden or [Path("ci/golden")]))
    if record and not against:
        raise Refused("--record needs --against: a road counts what is held to its stable version.")
    if record and attempt is None:  # read before anything is asked: the road may go on meanwhile
        _, seen = find(road, namespace, context)
        refuse_if_past(seen, version)
        attempt = attempt_of(seen, version)
        against_digest = against_digest or _digest_of(seen, against)
    incumbent = side(against, against_url or url, against_digest) if against else None
    candidate = side(version, url, digest)
    found = compare(questions, candidate, incumbent, margin=margin, cache=cache)
    report.write(found, out)
    typer.echo((report.as_json if output is Output.JSON else report.as_markdown)(found))
    if record:
        from k8s.cluster import Cluster, connect

        Cluster(connect(context, namespace)).write_summary(found.summary(attempt or 0))
    outcomes = {each.outcome for each in found.verdicts}
    if Outcome.FAIL in outcomes:
        raise typer.Exit(WORSE)
    if Outcome.WAIT in outcomes and not record:
        raise typer.Exit(1)


def _digest_of(road: "Road", name: str) -> str:
    known = road.spec.version(name)
    return known.model_digest if known else ""


def _files(places: list[Path]) -> list[Path]:
    """Those that are named, and all sets of a folder."""
    files: list[Path] = []
    for place in places:
        files += sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    if not files or not all(each.exists() for each in files):
        there = ", ".join(map(str, places))
        raise Refused(f"No golden sets at {there}: run it in the repository, or name --golden.")
    return files
