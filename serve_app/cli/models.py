"""`glm-serve models`: which models there are, whether they are intact, and bringing more."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli import plan, pull
from serve_app.cli.options import AsJson, ConfigFile
from serve_app.errors import BadModel

if TYPE_CHECKING:
    from serve_app.settings import ModelSettings

app = typer.Typer(no_args_is_help=True, help="List, verify and bring models.")
app.command("pull")(pull.pull)
app.command("adopt")(pull.adopt)
app.command("plan")(plan.plan)

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
    """Show every model with its size and digest; no weights are verified."""
    rows: list[_Row] = []
    broken = False
    for path in _folders(_settings(file)):
        try:
            rows.append(_row(path))
        except BadModel as error:
            broken = True
            _tell_broken(path, error)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(rows)
    if broken:
        raise typer.Exit(1)


@app.command("verify")
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Default: all models.")] = None,
    *,
    file: ConfigFile = None,
) -> None:
    """Read every byte and compare it with the manifest; exit code 1 if one differs.

    With model.public_key set, the manifest must be signed by its owner; with model.digest set, the
    model of model.name must have that digest.
    """
    from serve_app.models import catalogue, manifest

    wanted = _settings(file)
    broken = False
    for path in _chosen(_folders(wanted), names or []):
        try:
            digest = catalogue.pinned(catalogue.read(path), wanted).digest
            manifest.verify(path, wanted.public_key)
        except BadModel as error:
            broken = True
            _tell_broken(path, error)
        else:
            typer.secho(f"{path.name}: intact, {digest}", fg=typer.colors.GREEN)
    if broken:
        raise typer.Exit(1)


def _tell_broken(path: Path, error: BadModel) -> None:
    typer.secho(f"{path.name}: {error.message}", fg=typer.colors.RED, err=True)


def _settings(file: Path | None) -> "ModelSettings":
    from serve_app.configuration import load

    return load(file, os.environ).settings.model


def _folders(wanted: "ModelSettings") -> list[Path]:
    from serve_app.models import catalogue

    folders = catalogue.folders(wanted.folder)
    if not folders:
        place = wanted.folder or "the box"
        raise BadModel(f"There is no model in {place}; model.folder names the place.")
    return folders


def _chosen(folders: list[Path], names: list[str]) -> list[Path]:
    known = {path.name: path for path in folders}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadModel(f"No model {', '.join(unknown)}; there is {', '.join(known)}.")
    return [known[name] for name in names] or folders


def _row(path: Path) -> _Row:
    from serve_app.models import catalogue

    folder = catalogue.read(path)
    return _Row(
        name=folder.card.name,
        parameters=folder.parameters(),
        bytes=folder.total_bytes,
        context_tokens=folder.card.context_tokens,
        digest=folder.digest,
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
