"""Puts a running server under pressure: a few streams share one heap of requests."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from serve_app.cli import client
from serve_app.cli.report import Report, Trace, summarise
from serve_app.errors import ServeAppError

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Work:
    """What to ask, how often, and how many at once."""

    url: str
    model: str | None  # None: the first one served
    prompt: str
    max_tokens: int
    requests: int
    streams: int


async def run(work: Work, clock: Clock) -> Report:
    """Ask until the heap is empty; raises CannotStart if no server answers at first."""
    traces: list[Trace] = []
    heap = iter(range(work.requests))
    limits = httpx.Limits(max_connections=work.streams)
    async with httpx.AsyncClient(**client.options(work.url), limits=limits) as http:
        served = client.first_model(await http.get(client.MODELS))
        body = _body(work, work.model or served)
        started_at = clock()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(work.streams, work.requests)):
                group.create_task(_stream(http, body, heap, traces, clock))
        seconds = clock() - started_at
    return summarise(traces, work.streams, seconds)


def _body(work: Work, model: str) -> Mapping[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": work.prompt}],
        "max_tokens": work.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _stream(
    http: httpx.AsyncClient,
    body: Mapping[str, Any],
    heap: Iterator[int],
    traces: list[Trace],
    clock: Clock,
) -> None:
    """One stream: the next request starts when the last answer has ended."""
    for _ in heap:
        trace = Trace(asked_at=clock())
        traces.append(trace)
        try:
            with client.errors_of(str(http.base_url)):
                await _answer(http, body, trace, clock)
        except ServeAppError as error:
            trace.error = error.message


async def _answer(
    http: httpx.AsyncClient, body: Mapping[str, Any], trace: Trace, clock: Clock
) -> None:
    events = client.EventStream()
    async with http.stream("POST", client.CHAT, json=body) as response:
        if response.is_error:
            raise client.error_in(response.status_code, await response.aread())
        async for piece in response.aiter_bytes():
            for chunk in events.feed(piece):
                if client.text_of(chunk):
                    trace.texts_at.append(clock())
                trace.tokens = (chunk.get("usage") or {}).get("completion_tokens", trace.tokens)
    events.close()
