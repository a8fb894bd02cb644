"""One machine: start Ray and Serve here, run the application, drain, leave nothing behind.

`tuning` must be in the environment before this module is imported, for Ray reads it then.
"""

import asyncio
import logging
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import ray
from ray import serve
from ray.exceptions import RayError

from serve_app import app
from serve_app.deployments import EngineFactory, load_engine
from serve_app.errors import CannotStart
from serve_app.messages import ModelCard
from serve_app.settings import ServerSettings, Settings

READY_S = 60.0
OBJECT_STORE_BYTES = 100 * 1024 * 1024  # token streams never touch it

Say = Callable[[str], None]


@contextmanager
def running(
    settings: Settings,
    cards: Sequence[ModelCard],
    run_folder: Path,
    say: Say,
    factory: EngineFactory = load_engine,
) -> Iterator[None]:
    """The application, answering; everything that was started is gone afterwards."""
    try:
        say("starting Ray")
        _start_ray(run_folder)
        say("starting Ray Serve and HAProxy")
        serve.start(http_options=_http_options(settings))
        say("starting ingress, safety filter and model replica")
        _deploy(settings, cards, factory)
        say("waiting for the first real answer")
        _wait_until_ready(settings.server)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(run_folder, ignore_errors=True)


def drain(timeout_s: float) -> bool:
    """Refuse new requests and wait for the answers under way; False if some were left."""
    try:
        asyncio.run(asyncio.wait_for(_drain(), timeout_s))
    except (TimeoutError, RayError):
        return False
    return True


async def _drain() -> None:
    """In throughput mode a handle belongs to the event loop it is made on."""
    ingress = serve.get_deployment_handle(app.INGRESS, app.NAME)
    await ingress.broadcast("drain").results_async()


def _start_ray(run_folder: Path) -> None:
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    ray.init(
        include_dashboard=False,
        log_to_driver=False,  # our lines go to the log of the settings
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE_BYTES,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(run_folder),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray has taken it for itself


def _http_options(settings: Settings) -> dict[str, object]:
    return {"host": settings.server.host, "port": settings.server.port}


def _deploy(settings: Settings, cards: Sequence[ModelCard], factory: EngineFactory) -> None:
    application = app.build(settings, cards, factory)
    try:
        serve.run(application, name=app.NAME, route_prefix="/")
    except RuntimeError as error:
        raise CannotStart(f"A deployment did not start: {_last_line(error)}") from error


def _wait_until_ready(server: ServerSettings) -> None:
    """Ask /ready as a cluster would; it generates, so it also warms the whole chain up."""
    url = f"http://{server.host}:{server.port}/ready"
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=server.ready_deadline_s * 2).is_success:
                return
        time.sleep(0.1)
    raise CannotStart(f"{url} was not green within {READY_S:g} seconds; see the log.")


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
