"""`python3 -m ci.release`: the steps that jobs run, beside those of `kubectl glm`."""

import sys
from collections.abc import Callable

import typer

from ci.release import candidate, following
from k8s.errors import ReleaseError

_STEPS: tuple[Callable[..., None], ...] = (
    candidate.build,
    candidate.deploy,
    candidate.warm,
    candidate.settle,
    following.keep,
    following.verify,
    following.rollback,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
for _step in _STEPS:
    app.command()(_step)


def main() -> None:
    """Run the step; an error of ours becomes one red sentence and exit code 1."""
    try:
        app(prog_name="python3 -m ci.release")
    except ReleaseError as error:
        typer.secho(error.message, fg=typer.colors.RED, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
