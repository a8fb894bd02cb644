"""Programs of others, started so that the job's log shows what a person would type."""

import shlex
import subprocess

import typer


def run(*words: str) -> str:
    """What it wrote; its errors go to the log. Ends the job with the program's exit code."""
    typer.secho(f"$ {shlex.join(words)}", fg=typer.colors.CYAN, err=True)
    done = subprocess.run(  # noqa: S603 -- no shell; words are ours, or names the cluster has taken
        words, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        typer.echo(done.stdout, err=True)
        raise typer.Exit(done.returncode)
    return done.stdout
