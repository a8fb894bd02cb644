"""What a tenant can learn by a watch: how long the first token takes, by who asked before.

Four prompts a round, of 1,500 tokens each, in random order: one that its own tenant has asked
before, one that another tenant has asked before, and two that nobody has. `told apart` is how often
a first token comes sooner than that of the second unheard prompt: 0.5 tells nothing, 1 all. Run
from the repository: python -m tests.bench.tenants [rounds]
"""

import asyncio
import json
import random
import sys
import time
from contextlib import aclosing
from itertools import product
from statistics import median

import torch

from serve_app.loading import load_engine
from serve_app.messages import Caller, CompletionRequest, Sampling
from serve_app.settings import Settings
from serve_app.versions import Engine

LENGTH = 1_500
ONE = Sampling(temperature=0.0, max_tokens=1)
KINDS = ("own", "another's", "unheard", "unheard too")


async def first_token_s(engine: Engine, prompt: tuple[int, ...], tenant: str) -> float:
    request = CompletionRequest("r", "glm-nano", prompt, ONE, caller=Caller(tenant))
    began = time.perf_counter()
    async with aclosing(engine.generate(request)) as events:
        async for _ in events:
            return time.perf_counter() - began
    raise AssertionError("The answer has no events.")


async def measured(engine: Engine, rounds: int, chance: random.Random) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        prompts = {kind: tuple(chance.choices(range(300, 1_500), k=LENGTH)) for kind in KINDS}
        await first_token_s(engine, prompts["own"], "curious")
        await first_token_s(engine, prompts["another's"], "secretive")
        for kind in chance.sample(KINDS, k=len(KINDS)):
            took[kind].append(await first_token_s(engine, prompts[kind], "curious"))
    return took


def sooner(some: list[float], others: list[float]) -> float:
    """How often one of some is smaller than one of the others, of all pairs."""
    return sum(one < other for one, other in product(some, others)) / (len(some) * len(others))


async def run(rounds: int) -> dict[str, dict[str, float]]:
    engine = load_engine(Settings())
    engine.start()
    took = await measured(engine, rounds, random.Random(0))
    await engine.stop()
    return {
        kind: {
            "first_token_ms": round(1_000 * median(each), 1),
            "told_apart": round(sooner(each, took["unheard too"]), 2),
        }
        for kind, each in took.items()
    }


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print(json.dumps(asyncio.run(run(rounds)), indent=2))


if __name__ == "__main__":
    main()
