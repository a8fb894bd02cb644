"""`glm-serve doctor`: whether this machine can serve, and what to mend if not."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from serve_app.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from serve_app.cli.checks import Finding


def doctor(*, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Examine this machine: green is well, yellow may hurt, red must be mended (exit code 1)."""
    import json

    from serve_app.cli.checks import Level, examine
    from serve_app.cli.facts import gather

    findings = examine(gather(file, os.environ))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.level is Level.RED for finding in findings):
        raise typer.Exit(1)


def _print(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    wide = (Column("found", overflow="fold"), Column("what to do", overflow="fold"))
    table = Table("check", "", *wide)
    for finding in findings:
        light = Text(finding.level, style=finding.level)
        table.add_row(finding.name, light, Text(finding.fact), Text(finding.mend))
    Console().print(table)
