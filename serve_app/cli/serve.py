"""`glm-serve serve`: one machine, progress on the terminal, a curl to try, Ctrl-C drains."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from serve_app import interrupts
from serve_app.cli.options import ConfigFile
from serve_app.errors import Unable

if TYPE_CHECKING:
    from serve_app.messages import ModelCard
    from serve_app.serving import Say
    from serve_app.settings import Settings

GLANCE_S = 0.2  # between two looks at the log
INTERRUPTED = 130  # what a shell expects after Ctrl-C

TRY_IT = """\
curl {url}/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'"""


def serve(*, file: ConfigFile = None) -> None:
    """Serve the configured model on this machine until Ctrl-C."""
    say = progress()
    with interruptible(say):
        settings, card = checked(file, say)
        run(settings, card, say)


@contextmanager
def interruptible(say: "Say") -> Iterator[None]:
    """Run the block until it ends or a signal ends it; then exit as a shell expects."""
    interrupts.interrupt()
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # the latter is what Ray makes of SIGTERM
        say("stopped at once")
        raise typer.Exit(INTERRUPTED) from None
    say("stopped")


def checked(file: Path | None, say: "Say") -> tuple["Settings", "ModelCard"]:
    """What can be wrong is told before Ray starts; raises BadSettings, BadModel or PortTaken."""
    say("reading settings, checking model and port")
    with interrupts.put_off():
        from serve_app import configuration, ports
        from serve_app.models import catalogue, manifest

    settings = configuration.load(file, os.environ).settings
    folder = catalogue.find(settings.model)
    manifest.verify(folder.path, settings.model.public_key)
    ports.require_free(settings.server.host, settings.server.port)
    return settings, folder.card


def run(settings: "Settings", card: "ModelCard", say: "Say") -> None:
    """Start, answer, drain, stop; raises CannotStart."""
    from serve_app import control, tuning
    from serve_app.run_folder import run_folder

    with run_folder() as folder:
        tuning.prepare(os.environ, settings.server, folder)
        with interrupts.put_off():
            from serve_app import local, serving  # import Ray, which reads the environment
            from serve_app.switch import Switch

        settings, lines = own_log(settings, folder)
        with follow(lines), local.running(settings, card, folder, say):
            url = settings.server.url
            with control.listening(folder, settings.server.port, Switch(settings, card)):
                say(f"{card.name} answers on {url} (Ctrl-C drains and stops); try:")
                typer.echo(TRY_IT.format(url=url, model=card.name))
                interrupts.wait()
            say("draining: running answers finish, new ones are refused (Ctrl-C again stops now)")
            try:
                serving.drain(settings.server.max_stream_s)
            except Unable as error:
                say(error.message)


def progress() -> "Say":
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
    over = False
    with lines.open() as source:
        while not over:
            over = ended.wait(GLANCE_S)
            typer.echo(source.read(), nl=False)
