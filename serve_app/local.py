"""7. One machine: start Ray here, run the application, leave nothing behind.

`tuning` must be in the environment before this module is imported, for Ray reads it then.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray

from serve_app import interrupts, scaling, serving
from serve_app.deployments import EngineFactory
from serve_app.errors import BadSettings
from serve_app.loading import load_engine
from serve_app.messages import ModelCard
from serve_app.nodes import ENDING_S, OBJECT_STORE_BYTES
from serve_app.serving import Say
from serve_app.settings import ReplicaSettings, Settings


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
        _refuse_without_gpus(settings.replicas, int(ray.cluster_resources().get("GPU", 0)))
        serving.deploy(settings, card, say, factory)
        yield
    finally:
        with interrupts.held_off():
            _end_ray()


def _refuse_without_gpus(wanted: ReplicaSettings, there: int) -> None:
    """Serve would wait for ever for GPUs that no other node will bring."""
    if wanted.model_gpus and scaling.room(wanted.model_gpus, there) < wanted.model_min:
        raise BadSettings(
            f"replicas.model_gpus: {wanted.model_gpus:g} for each of replicas.model_min "
            f"({wanted.model_min}), but Ray finds {there} on this machine."
        )


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
