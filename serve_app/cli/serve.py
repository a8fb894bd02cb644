"""`glm-serve serve`: one machine, progress on the terminal, a curl to try, Ctrl-C drains."""

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from serve_app import tuning
from serve_app.models import catalogue, manifest
from serve_app.ports import require_free
from serve_app.settings import Settings

TRY_IT = """\
curl http://{address}/v1/chat/completions -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'"""


def serve(settings: Settings, console: Console) -> None:
    """Run until Ctrl-C or SIGTERM; raises CannotStart."""
    say = progress(console)
    say("checking the model and the port")  # before Ray: what is wrong is told at once
    model = catalogue.find(settings.model)
    manifest.verify(model.path)
    card = model.card
    require_free(settings.server.host, settings.server.port)
    run_folder = Path(tempfile.mkdtemp(prefix="glm-"))
    tuning.prepare(os.environ, settings.server, run_folder)
    from serve_app import local  # Ray reads the environment when it is imported

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # while starting, both just end it
    with local.running(settings, (card,), run_folder, say):
        address = f"{settings.server.host}:{settings.server.port}"
        say(f"{card.name} answers on http://{address} (Ctrl-C drains and stops); try:")
        console.print(TRY_IT.format(address=address, model=card.name), soft_wrap=True, markup=False)
        wait_for_stop()
        say("draining: running answers finish, new ones are refused (Ctrl-C again stops now)")
        if not local.drain(settings.server.max_stream_s):
            say("some answers were still running and were cut")
    say("stopped")


def progress(console: Console) -> Callable[[str], None]:
    """A line for each step, with the seconds since the start."""
    started = time.monotonic()

    def say(step: str) -> None:
        console.print(f"{time.monotonic() - started:5.1f} s  {step}", highlight=False, markup=False)

    return say


def wait_for_stop() -> None:
    """Return at the first SIGINT or SIGTERM; the next one interrupts again."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
