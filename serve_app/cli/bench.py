"""`glm-serve bench`: how a running server does under load."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.options import AsJson, Model, Url
from serve_app.errors import CannotStart

if TYPE_CHECKING:
    from serve_app.cli.report import Report


def bench(
    *,
    url: Url,
    model: Model = None,
    streams: Annotated[
        int, typer.Option("--streams", min=1, max=1024, help="Answers under way at once.")
    ] = 8,
    requests: Annotated[
        int, typer.Option("--requests", min=1, max=100_000, help="Answers in all.")
    ] = 64,
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="TEXT", help="What is asked, each time.")
    ] = "Count from 1 to 30.",
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=1, max=8192, help="The longest answer.")
    ] = 64,
    remote: Annotated[
        bool, typer.Option("--remote", help="Allow an address that is not this machine.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a running server many times and measure; exit code 1 if an answer failed.

    Times are seen from here: to the first text, and between pieces of text (a piece may hold
    several tokens).  This command shares the machine's cores with a server that runs on it.
    """
    import asyncio

    from serve_app.cli import client
    from serve_app.cli.pressure import Work, run

    with client.errors_of(url):
        if not (remote or client.is_loopback(url)):
            raise CannotStart(
                f"{url} is not this machine; --remote allows load on somebody else's server."
            )
        work = Work(url, model, prompt, max_tokens, requests, streams)
        report = asyncio.run(run(work, time.perf_counter))
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        _print(report)
    if report.errors:
        raise typer.Exit(1)


def _print(report: "Report") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("measure", "value", title=f"{report.requests} requests, {report.streams} streams")
    for name, value in _lines(report):
        table.add_row(name, value)
    for message, count in report.errors.items():
        table.add_row("failed", Text(f"{count} x {message}", style="red"))
    Console().print(table)


def _lines(report: "Report") -> list[tuple[str, str]]:
    def milliseconds(value: float | None) -> str:
        return "none" if value is None else f"{value:,.1f} ms"

    return [
        ("time to first text, p50", milliseconds(report.first_text_ms_p50)),
        ("time to first text, p99", milliseconds(report.first_text_ms_p99)),
        ("between pieces of text, p50", milliseconds(report.between_texts_ms_p50)),
        ("between pieces of text, p99", milliseconds(report.between_texts_ms_p99)),
        ("tokens a second", f"{report.tokens_per_s:,.1f}"),
        ("tokens in all", f"{report.tokens:,}"),
        ("seconds in all", f"{report.seconds:,.2f}"),
        ("answers that failed", f"{sum(report.errors.values()):,}"),
    ]
