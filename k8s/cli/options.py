"""Options that several commands share, and the road they speak of."""

import getpass
import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from k8s.errors import Refused

if TYPE_CHECKING:
    from k8s.cluster import Cluster
    from k8s.road import Road


class Output(StrEnum):
    """For whom to print."""

    TEXT = "text"
    JSON = "json"


Name = Annotated[
    str | None,
    typer.Option("--road", "-r", metavar="NAME", help="Default: the namespace's only road."),
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Default: that of the context."),
]
Context = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="Default: the current one.")
]
As = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]
Out = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Write verdict.md and junit.xml there.")
]
OverrideHold = Annotated[
    str | None,
    typer.Option("--override-hold", metavar="ID", help="Go on in spite of the road's own hold."),
]


def asker() -> str:
    """Who asks, as the ledger shall name them: a pipeline with its address, or a user."""
    user = os.environ.get("GITLAB_USER_LOGIN")
    pipeline = os.environ.get("CI_PIPELINE_URL")
    return " ".join(filter(None, (user, pipeline))) or getpass.getuser()


def find(name: str | None, namespace: str | None, context: str | None) -> "tuple[Cluster, Road]":
    """The road and its cluster; raises Refused where it is not clear which."""
    from k8s.cluster import Cluster, connect

    cluster = Cluster(connect(context, namespace))
    names = [name] if name else cluster.road_names()
    if len(names) != 1:
        there = ", ".join(names) or "none"
        raise Refused(f"Which road? In {cluster.namespace} there is {there}; name it with --road.")
    return cluster, read(cluster, names[0])


def read(cluster: "Cluster", name: str) -> "Road":
    """As it is now."""
    road = cluster.road(name)
    if road is None:
        raise Refused(f"No road {name} in {cluster.namespace}.")
    return road


def keep_verdict(road: "Road", folder: Path | None) -> None:
    """For a merge request, and for GitLab's list of tests."""
    if folder is None:
        return
    from k8s.junit import as_junit
    from k8s.words import as_markdown

    status = road.status
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verdict.md").write_text(as_markdown(road, time.time()), encoding="utf-8")
    junit = as_junit(status.judged or road.name, status.candidate or "", status.verdicts)
    (folder / "junit.xml").write_bytes(junit)
