"""`kubectl glm`: releases for people and pipelines, one module a group of commands."""

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from k8s.cli import act, controller, evaluate, follow, look, scorer
from k8s.errors import ReleaseError

app = typer.Typer(
    name="kubectl glm",
    help="Release GLM models, watch them on their road, and take them back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is a sentence, in a job's log too
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(look.status, act.release, act.promote, act.pause, act.resume, act.abort, act.rollback),
    *(follow.wait, act.forget, look.history, look.diff, look.events, look.why),
):
    app.command(command.__name__)(command)
app.command("evaluate")(evaluate.evaluate)
app.command("controller", hidden=True)(controller.controller)
app.command("scorer", hidden=True)(scorer.scorer)


def main() -> None:
    """Run the command; an error of ours becomes one red sentence and exit code 1."""
    try:
        app(prog_name="kubectl glm")
    except ReleaseError as error:
        typer.secho(error.message, fg=typer.colors.RED, err=True)
        sys.exit(1)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from k8s.road import API_VERSION, GROUP, KIND

        typer.echo(f"kubectl glm {_version()}, {KIND} {GROUP}/{API_VERSION}")
        raise typer.Exit


def _version() -> str:
    try:
        return version("glm-serve")
    except PackageNotFoundError:  # a pipeline runs that of the commit which it releases
        return "of a checkout"


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Take what stands before the command."""
