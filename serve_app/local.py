"""7. One machine: start Ray here, run the application, leave nothing behind.

`tuning` must be in the environment before this module is imported, for Ray reads it then.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray

from serve_app import interrupts, serving
from serve_app.deployments import EngineFactory
from serve_app.loading import load_engine
from serve_app.messages import ModelCard
from serve_app.nodes import ENDING_S, OBJECT_STORE_BYTES
from serve_app.serving import Say
from serve_app.settings import Settings


@contextmanager
def running(
    settings: Settings,
    card: ModelCard,
    run_folder: Path,
    say: Say,
    factory: EngineFactory = load_engine,
) -> Iterator[None]:
    """The application, answering; every process that was started is gone afterwards.

    Raises CannotStart.
    """
    try:
        say("starting Ray")
        with serving.told_as("Ray"):
            serving.connect(
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=str(run_folder),
            )
        serving.deploy(settings, card, say, factory)
        yield
    finally:
        with interrupts.held_off():
            _end_ray()


def _end_ray() -> None:
    """An interrupted start leaves processes that Ray does not know of, and does not tell to end."""
    family = psutil.Process().children(recursive=True)
    ray.shutdown()
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(family, timeout=ENDING_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=ENDING_S)
