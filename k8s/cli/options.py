"""Options of commands, each typed once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


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
Digest = Annotated[str, typer.Option(metavar="SHA256")]
Only = Annotated[
    str | None,
    typer.Option("--version", metavar="VERSION", help="Only if this is the candidate."),
]
Patience = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait.")]
VersionName = Annotated[str, typer.Argument(metavar="VERSION")]
