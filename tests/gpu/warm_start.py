"""From a process's start to its first token, with nothing compiled before and with everything.

usage: python -m tests.gpu.warm_start          one card, 45 s: GLM-4-9B's shape, made in place
       python -m tests.gpu.warm_start cpu      glm-nano, to try the script itself
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from tests.gpu.arguments import given
from tests.gpu.figures import Figures, tell

ANSWER = 8


def child(where: str, begun: float) -> None:
    """Tell seconds since the parent began this process: imports, model, runner, first token."""
    marks: dict[str, Any] = {}

    def mark(name: str) -> None:
        marks[f"{name}_s"] = round(time.time() - begun, 2)

    import torch  # noqa: PLC0415 - what it takes is measured

    from serve_app.engine.gpu.runner import GpuRunner  # noqa: PLC0415
    from serve_app.models.device import gpu_memory  # noqa: PLC0415
    from serve_app.telemetry.gpus import GpuCollector  # noqa: PLC0415
    from tests.gpu import host_kv, shape, tokens  # noqa: PLC0415

    mark("imported")
    if where == "cpu":
        bench = host_kv.on_cpu()
    else:
        settings = shape.settings()
        model = shape.model()
        torch.cuda.synchronize()
        mark("model")
        runner = GpuRunner(model, settings)
        bench = host_kv.bench_of(runner, tokens.tokenizer(), settings, 0, host_kv.CARD)
    mark("runner")
    bench.engine.start()
    seen = asyncio.run(host_kv.answer(bench, host_kv.text(bench, 1, 512), ANSWER))
    mark("answer")
    marks["first_token_s"] = round(marks["runner_s"] + seen.first_s, 2)
    registry = CollectorRegistry()
    registry.register(GpuCollector(lambda: gpu_memory(1)))
    told = generate_latest(registry).decode().splitlines()
    marks["metrics"] = [line for line in told if not line.startswith("#")]
    tell(**marks)
    os._exit(0)  # the engine's thread is of no use any more


def start(where: str, caches: Path) -> dict[str, Any]:
    """One process, with these folders for what is compiled."""
    named = {"TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "inductor"}
    folders = {name: str(caches / folder) for name, folder in named.items()}
    command = [sys.executable, "-m", "tests.gpu.warm_start", where, str(time.time())]
    done = subprocess.run(
        command, env=os.environ | folders, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    where, *begun = given() or ["card"]
    if begun:
        child(where, float(begun[0]))
    with tempfile.TemporaryDirectory() as folder, Figures() as figures:
        for name in ("cold", "warm"):
            figures.tell(start=name, **start(where, Path(folder)))


if __name__ == "__main__":
    main()
