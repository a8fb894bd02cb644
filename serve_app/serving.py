"""7. The application on a Ray that runs: deploy it, see it answer, drain it.

`tuning` must be in the environment before this module is imported, for Ray reads it then.
"""

import asyncio
import logging
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serve_app import app, interrupts
from serve_app.deployments import EngineFactory
from serve_app.errors import CannotStart, DeadlineExceeded, Unable
from serve_app.loading import load_engine
from serve_app.messages import ModelCard, Serving
from serve_app.settings import ServerSettings, Settings

READY_S = 60.0

Say = Callable[[str], None]

_OUR_ERROR = re.compile(r"^serve_app\.errors\.\w+: (.+)$", re.MULTILINE)


def connect(**options: Any) -> None:
    """To a Ray that runs at `address`, or to one of our own; SIGTERM stays ours."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # it warns of every slow reply
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            log_to_driver=False,  # our lines go to the log of the settings
            logging_level=logging.ERROR,
            **options,
        )
    except SystemExit as exit_:  # what Ray makes of SIGTERM
        raise KeyboardInterrupt from exit_
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)


def deploy(
    settings: Settings, card: ModelCard, say: Say, factory: EngineFactory = load_engine
) -> None:
    """Return when /ready is green; raises CannotStart.

    From then on `interrupts.wait` is told of signals, for there may be users.
    """
    try:
        _deploy(settings, card, say, factory)
    except KeyboardInterrupt:
        # Others may have seen it green before we did, and sent users: their answers finish.
        if not _is_ready(settings.server):
            raise
        interrupts.note()
    else:
        interrupts.heed()


def _deploy(settings: Settings, card: ModelCard, say: Say, factory: EngineFactory) -> None:
    say("starting Ray Serve and HAProxy")
    with told_as("Ray Serve"):
        serve.start(http_options={"host": settings.server.host, "port": settings.server.port})
    say("starting ingress, safety filter and model replica")
    with told_as("A deployment"):
        serve.run(app.build(settings, Serving(card), factory), name=app.NAME, route_prefix="/")
    say("waiting for the first real answer")
    _wait_until_ready(settings.server)


def drain(timeout_s: float) -> None:
    """Refuse new requests and wait for the answers under way.

    Raises DeadlineExceeded if some are still running, Unable if the ingress does not reply.
    """
    try:
        asyncio.run(_drain(timeout_s))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except (RayError, RayServeException) as error:
        raise Unable("the ingress could not be told to drain; running answers were cut") from error
    except TimeoutError as error:
        raise DeadlineExceeded("some answers were still running and were cut") from error


async def _drain(timeout_s: float) -> None:
    """In throughput mode a handle belongs to the event loop it is made on."""
    with interrupts.cancelling():
        async with asyncio.timeout(timeout_s):
            ingress = serve.get_deployment_handle(app.INGRESS, app.NAME)
            await ingress.broadcast("drain").results_async()


@contextmanager
def told_as(part: str) -> Iterator[None]:
    """Ray and Serve raise anything, bare Exception too; it becomes one sentence."""
    try:
        yield
    except Exception as error:
        raise CannotStart(f"{part} did not start: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Our own sentence from a replica where there is one, or else the last line of what is told."""
    told = [str(error), *_told_by_deployments()]
    ours = [match for text in told for match in _OUR_ERROR.findall(text)]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next(iter(ours or lines[-1:]), type(error).__name__)


def _told_by_deployments() -> list[str]:
    if not ray.is_initialized():
        return []
    with suppress(RayError, RayServeException):
        status = serve.status().applications.get(app.NAME)
        return [part.message for part in status.deployments.values()] if status else []
    return []


def _wait_until_ready(server: ServerSettings) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if _is_ready(server):
            return
        time.sleep(0.1)
    raise CannotStart(f"{server.url}/ready was not green within {READY_S:g} seconds; see the log.")


def _is_ready(server: ServerSettings) -> bool:
    """Ask as a cluster would; it generates, so it also warms the whole chain up."""
    patience_s = server.ready_deadline_s * 2
    with suppress(httpx.HTTPError):
        return httpx.get(f"{server.url}/ready", timeout=patience_s, trust_env=False).is_success
    return False
