"""`kubectl glm evaluate`: golden sets against an endpoint, in a pipeline, a Job or by hand."""

from pathlib import Path
from typing import Annotated

import typer

from k8s.cli.options import Context, Namespace
from k8s.errors import Refused


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
        typer.Option(metavar="FILE", help="Default: all of ci/golden. May be repeated."),
    ] = None,
    margin: Annotated[float, typer.Option(help="How much worse a score may be.")] = 0.05,
    out: Annotated[Path, typer.Option(metavar="FOLDER")] = Path("evaluation"),
    cache: Annotated[Path | None, typer.Option(metavar="FOLDER")] = None,
    record: Annotated[
        bool, typer.Option(help="Put the verdicts into the cluster, where the road waits.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Ask golden sets, compare with the incumbent, write reports; exit code 1 unless all PASS.

    With --record too few questions are no failure: the road waits for more, until its deadline.

    Writes report.json, summary.json, summary.md, junit.xml and scores.png.
    """
    from k8s.evaluation import evaluate as compare
    from k8s.evaluation import golden as sets
    from k8s.evaluation import report
    from k8s.evaluation.asking import Endpoint
    from k8s.evaluation.comparison import Side
    from k8s.road import Outcome

    def side(name: str, address: str, model_digest: str) -> Side:
        return Side(name, Endpoint(address, pin=name if pin else ""), model_digest)

    files = golden or sorted(Path("ci/golden").glob("*.jsonl"))
    if not files:
        raise Refused("There is no ci/golden/*.jsonl here: run it in the repository, or --golden.")
    questions = sets.read(files)
    incumbent = side(against, against_url or url, against_digest) if against else None
    candidate = side(version, url, digest)
    found = compare(questions, candidate, incumbent, margin=margin, cache=cache)
    report.write(found, out)
    typer.echo(report.as_markdown(found))
    if record:
        from k8s.cluster import Cluster, connect

        Cluster(connect(context, namespace)).write_summary(found.summary())
    outcomes = {each.outcome for each in found.verdicts}
    if Outcome.FAIL in outcomes or (Outcome.WAIT in outcomes and not record):
        raise typer.Exit(1)
