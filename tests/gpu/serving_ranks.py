"""The whole serving path on several cards against one: Ray Serve gives a replica its cards.

For each number of cards a server of its own: tokens a second (as `tests.gpu.serving_path`). Then
glm-nano as users start it: the same words on two cards as on one, and a rank that is killed.

usage: python -m tests.gpu.serving_ranks [cards,... [streams,...]]
       python -m tests.gpu.serving_ranks cpu    # tiny shapes, gloo, to see that it runs
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from serve_app import tuning
from serve_app.engine.engine import Engine
from serve_app.loading import load_engine
from serve_app.messages import ModelCard
from serve_app.ports import SparePorts
from serve_app.run_folder import run_folder
from serve_app.settings import (
    EngineSettings,
    ModelSettings,
    ReplicaSettings,
    ServerSettings,
    Settings,
)
from tests.gpu.arguments import given, numbers
from tests.gpu.figures import table, tell
from tests.gpu.serving_path import CARD, STREAMS, load

if TYPE_CHECKING:
    from serve_app.deployments import EngineFactory  # imports Ray, which reads the environment

QUESTIONS = ("Who are you?", "What is 17 + 25?", "Count from 3 to 30.", "Spell the word river.")
_CHAT = "/v1/chat/completions"
_LONGEST_S = 120.0  # that an answer may take
NANO_CARDS = 2  # its six heads cannot be dealt out to four


@dataclass(frozen=True)
class Shape:
    """Makes an engine of random weights inside the replica's process, on the cards it was given."""

    tiny: bool

    def __call__(self, settings: Settings) -> Engine:
        from tests.gpu.engine import engine_of
        from tests.gpu.shares import Random, begin

        ready = begin(Random(2 if self.tiny else 40, tiny=self.tiny), settings)
        return engine_of(ready.runner, settings.engine, ready.context_tokens, crew=ready.crew)


def chosen(where: str, cards: int, engine: EngineSettings, name: str) -> Settings:
    on_cards = where == "cuda"
    with SparePorts() as ports:
        return Settings(
            server=ServerSettings(port=next(ports)),
            model=ModelSettings(name=name, device="cuda" if on_cards else "cpu"),
            engine=engine,
            replicas=ReplicaSettings(model_gpus=cards if on_cards else 0),
        )


@contextmanager
def server(
    settings: Settings, card: ModelCard, factory: "EngineFactory", **told: Any
) -> Iterator[None]:
    with run_folder() as folder:
        tuning.prepare(os.environ, settings.server, folder)
        from serve_app import local

        begun = time.perf_counter()
        with local.running(settings, card, folder, lambda _: None, factory=factory):
            tell(**told, ready_s=round(time.perf_counter() - begun, 1))
            yield
            ending = time.perf_counter()
    children = len(psutil.Process().children(recursive=True))
    tell(**told, ended_s=round(time.perf_counter() - ending, 1), processes_left=children)


def speeds(where: str, cards: int, streams: list[int]) -> None:
    from tests.gpu import shape

    settings = chosen(where, cards, shape.settings(tensor_parallel=cards), CARD.name)
    with server(settings, CARD, Shape(tiny=where == "cpu"), cards=cards):
        load(settings.server.port, min(streams), 1)
        for each in streams:
            tell(cards=cards, **load(settings.server.port, each, 1000 * each))
        tell(cards=cards, memory=_memory(settings.server.url))


def words(where: str, cards: int) -> None:
    """What glm-nano says; of several ranks one is killed then."""
    from serve_app.models import catalogue

    settings = chosen(where, cards, EngineSettings(tensor_parallel=cards), "glm-nano")
    card, url = catalogue.find(settings.model).card, settings.server.url
    with server(settings, card, load_engine, cards=cards, nano=True):
        tell(cards=cards, said=[_ask(url, question).json()["choices"] for question in QUESTIONS])
        if cards > 1:
            tell(cards=cards, **_lose_a_rank(url))


def _lose_a_rank(url: str) -> dict[str, Any]:
    """What a reader is told last and when, and seconds until the replica answers again."""
    begun = threading.Event()
    lines: list[tuple[float, str]] = []

    def listen() -> None:
        body = _body("Count from 1 to 20.", max_tokens=2000, ignore_eos=True, stream=True)
        with httpx.stream(
            "POST", f"{url}{_CHAT}", json=body, timeout=_LONGEST_S, trust_env=False
        ) as its:
            for line in filter(None, its.iter_lines()):
                lines.append((time.perf_counter(), line))
                begun.set()

    listener = threading.Thread(target=listen)
    listener.start()
    if not begun.wait(_LONGEST_S):
        raise SystemExit("nothing was said before a rank was to be killed")
    lost = next(each for each in _ranks())
    named = lost.environ().get("CUDA_VISIBLE_DEVICES")
    lost.kill()
    killed = time.perf_counter()
    listener.join()
    while not _ask(url, QUESTIONS[0]).is_success:
        time.sleep(0.1)
    back_s = round(time.perf_counter() - killed, 1)
    told, last = lines[-1]
    told_ms = round(1e3 * (told - killed), 1)
    return {"visible": named, "last": last[:200], "told_ms": told_ms, "back_s": back_s}


def _ranks() -> Iterator[psutil.Process]:
    """Processes of the replica's ranks but the first."""
    for each in psutil.Process().children(recursive=True):
        if "spawn_main" in " ".join(each.cmdline()):
            yield each


def _ask(url: str, question: str) -> httpx.Response:
    return httpx.post(f"{url}{_CHAT}", json=_body(question), timeout=_LONGEST_S, trust_env=False)


def _body(question: str, **wishes: Any) -> dict[str, Any]:
    body = {"model": "glm-nano", "messages": [{"role": "user", "content": question}]}
    return {**body, "temperature": 0, "max_tokens": 48, **wishes}


def _memory(url: str) -> list[str]:
    """Of each rank's card, as exported."""
    lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
    return [line for line in lines if line.startswith("glm_gpu_memory")]


def _lines(what: str, *arguments: object) -> list[dict[str, Any]]:
    """Of a server in a process of its own, told as they come."""
    command = [sys.executable, "-m", "tests.gpu.serving_ranks", what, *map(str, arguments)]
    found: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if line.startswith("{"):
                found.append(json.loads(line))
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return found


def against_fewest(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each number of streams, and how many times as fast it is on more cards."""
    found = {(line["streams"], line["cards"]): line for line in lines if "tokens_s" in line}
    fewest: dict[int, float] = {}
    for (streams, cards), line in sorted(found.items()):
        least = fewest.setdefault(streams, line["tokens_s"])
        ratio = round(line["tokens_s"] / least, 2)
        told = {name: line[name] for name in line if name not in {"streams", "cards", "clients"}}
        yield {"streams": streams, "cards": cards, "against_fewest": ratio, **told}


def compare(where: str, cards: list[int], streams: list[int]) -> None:
    told = ",".join(map(str, streams))
    lines = [line for each in cards for line in _lines("speeds", where, each, told)]
    table(against_fewest(lines))
    if max(cards) < NANO_CARDS:
        return
    alone, together = (
        [line["said"] for line in _lines("words", where, each) if "said" in line]
        for each in (1, NANO_CARDS)
    )
    tell(questions=len(QUESTIONS), same_words=alone == together)


def main() -> None:
    what, *asked = [*given(), ""]
    if what == "speeds":
        speeds(asked[0], int(asked[1]), [int(each) for each in asked[2].split(",")])
    elif what == "words":
        words(asked[0], int(asked[1]))
    elif what == "cpu":
        compare("cpu", [1, 2], [1, 4])
    else:
        compare("cuda", numbers(0, (1, 2)), numbers(1, STREAMS))


if __name__ == "__main__":
    main()
