"""Options that several commands share, each with one help text."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Read this file instead of config.yaml; GLM_SECTION__FIELD variables win over it.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Url = Annotated[str, typer.Option("--url", metavar="URL", help="Where the server listens.")]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Default: the first one it serves.")
]

DEFAULT_URL = "http://127.0.0.1:8000"
