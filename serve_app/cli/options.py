"""Options that several commands share, each with one help text."""

import os
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


def own_url() -> str:
    """Where the settings put the server of this machine; raises BadSettings."""
    from serve_app import configuration

    return configuration.load(None, os.environ).settings.server.url


Url = Annotated[
    str,
    typer.Option(
        "--url",
        metavar="URL",
        default_factory=own_url,
        show_default="the server of the settings",
        help="Where the server listens.",
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="Default: the first one it serves.")
]
