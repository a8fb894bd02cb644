"""`glm-serve models`: which models there are, and whether they are intact."""

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.options import AsJson, ConfigFile
from serve_app.errors import BadModel

if TYPE_CHECKING:
    from serve_app.models.catalogue import ModelFolder

app = typer.Typer(no_args_is_help=True, help="List the models on this machine, or verify them.")

_DIGEST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    parameters: int
    bytes: int
    context_tokens: int
    digest: str


@app.command("list")
def list_(*, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show every model with its size and digest; no file is verified."""
    rows = [_row(folder) for folder in _installed(file)]
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(rows)


@app.command("verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Default: all models.")] = None,
    *,
    file: ConfigFile = None,
) -> None:
    """Read every byte and compare it with the manifest; exit code 1 if one differs."""
    from serve_app.models import manifest

    broken = False
    for folder in _chosen(_installed(file), names or []):
        try:
            manifest.verify(folder.path)
        except BadModel as error:
            broken = True
            typer.secho(f"{folder.card.name}: {error.message}", fg=typer.colors.RED, err=True)
        else:
            typer.secho(f"{folder.card.name}: intact, {folder.digest}", fg=typer.colors.GREEN)
    if broken:
        raise typer.Exit(1)


def _installed(file: ConfigFile) -> "list[ModelFolder]":
    from serve_app.configuration import load
    from serve_app.models import catalogue

    folder = load(file, os.environ).settings.model.folder
    models = catalogue.installed(folder)
    if not models:
        raise BadModel(f"There is no model in {folder or 'the box'}; model.folder names the place.")
    return models


def _chosen(folders: "list[ModelFolder]", names: list[str]) -> "list[ModelFolder]":
    known = {folder.card.name: folder for folder in folders}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadModel(f"No model {', '.join(unknown)}; there is {', '.join(known)}.")
    return [known[name] for name in names] or folders


def _row(folder: "ModelFolder") -> _Row:
    card = folder.card
    return _Row(
        name=card.name,
        parameters=folder.parameters(),
        bytes=folder.total_bytes,
        context_tokens=card.context_tokens,
        digest=card.digest,
    )


def _print(rows: list[_Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "parameters", "size on disk", "context", "digest")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.parameters / 1e6:,.1f} M",
            f"{row.bytes / 1e6:,.1f} MB",
            f"{row.context_tokens:,} tokens",
            row.digest[:_DIGEST_SHOWN],
        )
    Console().print(table)
