"""`glm-serve serve`: one machine, progress on the terminal, a curl to try, Ctrl-C drains."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from serve_app.cli.options import ConfigFile

if TYPE_CHECKING:
    from serve_app.messages import ModelCard
    from serve_app.settings import Settings

Say = Callable[[str], None]

GLANCE_S = 0.2  # between two looks at the log

TRY_IT = """\
curl http://{address}/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'"""


def serve(*, file: ConfigFile = None) -> None:
    """Serve the configured model on this machine until Ctrl-C."""
    say = progress()
    say("reading settings, checking model and port")  # before Ray: what is wrong is told at once
    from serve_app import configuration, ports

    settings = configuration.load(file, os.environ).settings
    card = verified(settings)
    ports.require_free(settings.server.host, settings.server.port)
    run(settings, card, say)
    say("stopped")


def verified(settings: "Settings") -> "ModelCard":
    """The model's card, once every byte of it is what its manifest says; raises BadModel."""
    from serve_app.models import catalogue, manifest

    folder = catalogue.find(settings.model)
    manifest.verify(folder.path)
    return folder.card


def run(settings: "Settings", card: "ModelCard", say: Say) -> None:
    """Start, answer, drain, stop; raises CannotStart."""
    from serve_app import tuning

    run_folder = Path(tempfile.mkdtemp(prefix="glm-"))
    tuning.prepare(os.environ, settings.server, run_folder)
    from serve_app import local  # imports Ray, which reads the environment

    interrupt_on_signals()
    settings, lines = own_log(settings, run_folder)
    with follow(lines), local.running(settings, (card,), run_folder, say):
        address = f"{settings.server.host}:{settings.server.port}"
        say(f"{card.name} answers on http://{address} (Ctrl-C drains and stops); try:")
        typer.echo(TRY_IT.format(address=address, model=card.name))
        wait_for_stop()
        say("draining: running answers finish, new ones are refused (Ctrl-C again stops now)")
        if not local.drain(settings.server.max_stream_s):
            say("some answers were still running and were cut")


def progress() -> Say:
    """A line for each step, with the seconds since the start."""
    started = time.monotonic()
    return lambda step: typer.echo(f"{time.monotonic() - started:5.1f} s  {step}")


def own_log(settings: "Settings", run_folder: Path) -> tuple["Settings", Path]:
    """Without a log file of the operator's, a file of this run that the terminal follows."""
    lines = run_folder / "log"
    if settings.log.file is None:
        log = settings.log.model_copy(update={"file": lines})
        settings = settings.model_copy(update={"log": log})
    return settings, lines


@contextmanager
def follow(lines: Path) -> Iterator[None]:
    """Show what the replicas append, while the block runs."""
    lines.touch()
    ended = threading.Event()
    reader = threading.Thread(target=_show, args=(lines, ended))
    reader.start()
    try:
        yield
    finally:
        ended.set()
        reader.join()


def _show(lines: Path, ended: threading.Event) -> None:
    with lines.open() as source:
        while not ended.wait(GLANCE_S):
            typer.echo(source.read(), nl=False)


def interrupt_on_signals() -> None:
    """Both raise KeyboardInterrupt, also where a shell has set SIGINT to be ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def wait_for_stop() -> None:
    """Return at the first SIGINT or SIGTERM; the next one interrupts again."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    interrupt_on_signals()
