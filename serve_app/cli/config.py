"""`glm-serve config`: what holds, and where it came from."""

import json
import os
from typing import Any

import typer

from serve_app.cli.options import AsJson, ConfigFile


def config(*, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the effective settings and where each came from; secrets are masked."""
    from serve_app.configuration import load

    configuration = load(file, os.environ)
    values = configuration.settings.model_dump(mode="json")
    rows = {
        path: {"value": _at(values, path), "from": origin}
        for path, origin in configuration.origins.items()
    }
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print(rows)


def _at(values: dict[str, dict[str, Any]], path: str) -> Any:
    section, _, name = path.partition(".")
    return values[section][name]


def _print(rows: dict[str, dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table("setting", Column("value", overflow="fold"), Column("from", overflow="fold"))
    for path, row in rows.items():
        style = "dim" if row["from"] == "default" else "bold"
        table.add_row(path, Text(_words(row["value"])), row["from"], style=style)
    Console().print(table)


def _words(value: object) -> str:
    """As it would stand in config.yaml."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
