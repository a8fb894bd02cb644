"""Tokens a second through HAProxy, Ray Serve, ingress and guards, with several client processes.

512 tokens in, 256 out, greedy, all streams at once; `tests.gpu.whole_engine` is what there is
without that path.

usage: python -m tests.gpu.serving_path [streams,...]
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from serve_app import tuning
from serve_app.engine.engine import Engine
from serve_app.messages import ModelCard
from serve_app.ports import SparePorts
from serve_app.run_folder import run_folder
from serve_app.settings import ModelSettings, ReplicaSettings, ServerSettings, Settings
from tests.gpu.arguments import numbers
from tests.gpu.figures import Figures

PROMPT, ANSWER = 512, 256
STREAMS = (1, 32, 128, 256)
A_PROCESS = 16  # streams
LEAD_S = 1.5  # for the processes to start and to connect
CARD = ModelCard("glm-4-9b-shape", "0" * 64, 131_072, 0)


def engine(settings: Settings) -> Engine:
    """Made inside the replica's process, on its card."""
    from tests.gpu import shape
    from tests.gpu.whole_engine import build

    return build(shape.model(), settings.engine)[0]


def chosen(port: int) -> Settings:
    from tests.gpu import shape

    return Settings(
        server=ServerSettings(port=port),
        model=ModelSettings(name=CARD.name, device="cuda"),
        engine=shape.settings(),
        replicas=ReplicaSettings(model_gpus=1),
    )


def load(port: int, streams: int, seed: int) -> dict[str, Any]:
    """Let processes ask together, and put together what they saw."""
    script, begin = Path(__file__).with_name("serving_client.py"), time.time() + LEAD_S
    processes = -(-streams // A_PROCESS)
    shares = [len(range(first, streams, processes)) for first in range(processes)]
    clients = [
        subprocess.Popen(
            [sys.executable, script]
            + [str(each) for each in (port, CARD.name, share, seed + at, begin, PROMPT, ANSWER)],
            stdout=subprocess.PIPE,
        )
        for at, share in enumerate(shares)
    ]
    seen = [each for client in clients for each in json.loads(client.communicate()[0])]
    good = [each for each in seen if len(each) == len(("first", "end"))]
    told = {"streams": streams, "clients": len(shares), "errors": len(seen) - len(good)}
    if not good:
        return {**told, "error": seen[0]}
    return {**told, **_figures([each[0] for each in good], [each[1] for each in good])}


def _figures(firsts: list[float], ends: list[float]) -> dict[str, float]:
    from tests.gpu.engine_speed import share

    each = [(end - first) / (ANSWER - 1) for first, end in zip(firsts, ends, strict=True)]
    return {
        "tokens_s": round(len(ends) * ANSWER / max(ends), 1),
        "first_p50_ms": round(1e3 * share(firsts, 0.5), 1),
        "first_p99_ms": round(1e3 * share(firsts, 0.99), 1),
        "each_p50_ms": round(1e3 * share(each, 0.5), 3),
        "each_p99_ms": round(1e3 * share(each, 0.99), 3),
    }


def main() -> None:
    with SparePorts() as ports:
        settings = chosen(next(ports))
    with run_folder() as folder, Figures() as figures:
        tuning.prepare(os.environ, settings.server, folder)
        from serve_app import local

        begun = time.perf_counter()
        with local.running(settings, CARD, folder, print, factory=engine):
            figures.tell(ready_s=round(time.perf_counter() - begun, 1))
            load(settings.server.port, 8, 1)
            for streams in numbers(0, STREAMS):
                figures.tell(**load(settings.server.port, streams, 1000 * streams))


if __name__ == "__main__":
    main()
