"""Clients that go away at random points cost nothing afterwards."""

import asyncio
import json
import random
import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.served.server import Server

CLIENTS = 200
SETTLE_S = 30


def metric(url: str, name: str) -> float:
    """Sum of one metric over all replicas."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    assert samples, name
    return sum(sample.value for sample in samples)


def resources(url: str) -> dict[str, float]:
    names = ("process_open_fds", "glm_asyncio_tasks", "process_resident_memory_bytes")
    return {name: metric(url, name) for name in names}


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


def settled(url: str) -> None:
    """Wait until nobody runs or waits any more."""
    deadline = time.monotonic() + SETTLE_S
    while metric(url, "vllm:num_requests_running") + metric(url, "vllm:num_requests_waiting"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_two_hundred_clients_that_hang_up_leave_nothing_behind(server: Server) -> None:
    asyncio.run(crowd(server.url, 40, seed=1))  # what is made once for all is made here
    settled(server.url)
    before = resources(server.url)

    asyncio.run(crowd(server.url, CLIENTS, seed=2))
    settled(server.url)
    after = resources(server.url)

    assert metric(server.url, "vllm:kv_cache_usage_perc") == 0
    assert after["process_open_fds"] <= before["process_open_fds"] + 8
    assert after["glm_asyncio_tasks"] <= before["glm_asyncio_tasks"] + 4
    assert after["process_resident_memory_bytes"] < before["process_resident_memory_bytes"] * 1.1
    answer = httpx.post(
        f"{server.url}/v1/chat/completions",
        json={"model": "glm-nano", "messages": [{"role": "user", "content": "Hello!"}]},
        timeout=30,
    )
    assert answer.status_code == 200
