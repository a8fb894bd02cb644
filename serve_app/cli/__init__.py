"""8. The terminal: `glm-serve`, one module a command.

Commands import what is heavy when they run, so that `glm-serve --help` answers at once.
"""

import sys
from typing import Annotated

import typer

from serve_app import __version__
from serve_app.cli import (
    bench,
    chat,
    config,
    doctor,
    handover,
    head,
    models,
    outlast,
    serve,
    switch,
    worker,
)
from serve_app.errors import ServeAppError

app = typer.Typer(
    name="glm-serve",
    help="Serve GLM models from this machine, and talk to them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("head")(head.head)
app.command("worker")(worker.worker)
app.command("handover")(handover.handover)
app.command("outlast")(outlast.outlast)
app.command("switch")(switch.switch)
app.command("chat")(chat.chat)
app.add_typer(models.app, name="models")
app.command("config")(config.config)
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)


def main() -> None:
    """Run the command; an error of ours becomes one red sentence and exit code 1."""
    try:
        app()
    except ServeAppError as error:
        typer.secho(error.message, fg=typer.colors.RED, err=True)
        sys.exit(1)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glm-serve {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Take what stands before the command."""
