"""Clients that go away at random points cost nothing afterwards."""

import asyncio
import json
import operator
import random
import time
from collections.abc import Sequence
from itertools import pairwise

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.served.server import Server

ROUNDS = 5
CLIENTS = 100  # a round
SETTLE_S = 30
LEAK_BYTES = 8 * 1024 * 1024  # a round; allocators move that much in some rounds, not in all

WORK = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
HELD = ("process_open_fds", "glm_asyncio_tasks")
MEMORY = ("process_resident_memory_bytes",)


def metrics(url: str, names: Sequence[str]) -> list[float]:
    """Sum of each metric over all replicas."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    assert set(names) <= {sample.name for sample in samples}
    return [sum(each.value for each in samples if each.name == name) for name in names]


def rest(url: str) -> list[float]:
    """Wait until nobody runs or waits; return what is held then."""
    deadline = time.monotonic() + SETTLE_S
    while any(metrics(url, WORK)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return metrics(url, HELD)


def rest_with(url: str, held: Sequence[float]) -> list[float]:
    """Give connections time to close, until no more than `held` is held."""
    deadline = time.monotonic() + SETTLE_S
    while any(map(operator.gt, now := rest(url), held)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


async def hang_up(url: str, dice: random.Random) -> None:
    """Ask, listen for a random while, and cut the connection without a word."""
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(
        {
            "model": "glm-nano",
            "messages": [{"role": "user", "content": "Count from 1 to 20."}],
            "stream": dice.random() < 0.7,
            "temperature": 2.0,
            "max_tokens": 1000,
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    whole = (head + body).encode()
    writer.write(whole if dice.random() < 0.9 else whole[: dice.randrange(len(whole))])
    await writer.drain()
    await asyncio.sleep(dice.random() * 0.5)
    writer.transport.abort()


async def crowd(url: str, count: int, seed: int) -> None:
    dice = random.Random(seed)
    gate = asyncio.Semaphore(32)

    async def one() -> None:
        async with gate:
            await hang_up(url, dice)

    await asyncio.gather(*(one() for _ in range(count)))


def least_growth(values: Sequence[float]) -> float:
    """Of one round."""
    return min(after - before for before, after in pairwise(values))


@pytest.mark.timeout(300)
def test_five_hundred_clients_that_hang_up_leave_nothing_behind(server: Server) -> None:
    asyncio.run(crowd(server.url, CLIENTS, seed=0))  # what is made once for all is made here
    held = [rest(server.url)]
    memory = []
    for seed in range(1, ROUNDS + 1):
        asyncio.run(crowd(server.url, CLIENTS, seed))
        held.append(rest_with(server.url, held[-1]))
        memory += metrics(server.url, MEMORY)

    # Ray makes a thing or two late, once; a leak grows in every round.
    assert all(least_growth(counts) <= 0 for counts in zip(*held, strict=True)), held
    assert least_growth(memory) < LEAK_BYTES, memory
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        json={"model": "glm-nano", "messages": [{"role": "user", "content": "Hello!"}]},
        timeout=30,
    )
    assert answer.status_code == 200
