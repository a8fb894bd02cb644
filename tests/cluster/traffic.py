"""Users of a URL: short questions at a constant rate, and streams that last; every end is kept."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx

MODEL = "glm-nano"

_CHAT = "/v1/chat/completions"
_PATIENCE_S = 60.0  # for one piece of an answer
_GREETING = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 4}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request; times are monotonic seconds."""

    kind: str  # "question" or "stream"
    began: float
    ended: float
    version: str  # of the header x-model-version, empty if there was none
    fault: str  # empty: whole

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(slots=True)
class Traffic:
    """Read it when the traffic is over."""

    answers: list[Answer] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Each with its kind and when it was, counted from the first request."""
        first = min((each.began for each in self.answers), default=0.0)
        bad = sorted((each for each in self.answers if each.fault), key=lambda each: each.began)
        return [
            f"{each.began - first:.1f} s: {each.kind}, {each.seconds:.1f} s long: {each.fault}"
            for each in bad
        ]

    def versions(self) -> set[str]:
        return {each.version for each in self.answers}

    def longest(self, kind: str) -> float:
        return max((each.seconds for each in self.answers if each.kind == kind), default=0.0)


def answers(url: str) -> bool:
    """Whether a road that was just laid leads anywhere yet."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/v1/models", timeout=5, trust_env=False).is_success
    return False


@contextmanager
def flowing(
    url: str,
    *,
    rate: float,
    streams: int,
    tokens: int,
    limit_s: float = 900.0,
    questions: Sequence[dict[str, Any]] = (_GREETING,),
) -> Iterator[Traffic]:
    """Ask `rate` questions a second and keep `streams` streams of `tokens` tokens open.

    At the end of the block nothing new is begun, and what is under way is read to its end.  After
    `limit_s` it ends by itself. Questions are bodies of chats without their model, asked in turns.
    """
    traffic = Traffic()
    over = threading.Event()
    users = _Users(url, traffic, over, time.monotonic() + limit_s, questions)
    thread = threading.Thread(target=lambda: asyncio.run(users.all(rate, streams, tokens)))
    thread.start()
    try:
        yield traffic
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class _Users:
    url: str
    traffic: Traffic
    over: threading.Event
    until: float
    questions: Sequence[dict[str, Any]]

    async def all(self, rate: float, streams: int, tokens: int) -> None:
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(
                base_url=self.url, timeout=_PATIENCE_S, limits=limits, trust_env=False
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(streams):
                group.create_task(self._listener(client, tokens))
            asked = cycle(self.questions)
            async for _ in self._beat(1 / rate):
                group.create_task(self._ask(client, "question", {"model": MODEL, **next(asked)}))

    async def _beat(self, period_s: float) -> AsyncIterator[None]:
        """At a constant rate, however long answers take."""
        due = time.monotonic()
        while self._goes_on():
            yield None
            due += period_s
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _listener(self, client: httpx.AsyncClient, tokens: int) -> None:
        while self._goes_on():
            await self._ask(client, "stream", _stream(tokens))

    def _goes_on(self) -> bool:
        return not self.over.is_set() and time.monotonic() < self.until

    async def _ask(self, client: httpx.AsyncClient, kind: str, body: dict[str, Any]) -> None:
        began = time.monotonic()
        version = ""
        try:
            async with client.stream("POST", _CHAT, json=body) as response:
                version = response.headers.get("x-model-version", "")
                fault = await _fault(response, streamed=kind == "stream")
        except httpx.HTTPError as error:
            fault = f"{type(error).__name__}: {error}"
        self.traffic.answers.append(Answer(kind, began, time.monotonic(), version, fault))
        if fault:
            await asyncio.sleep(0.2)  # a refused user does not come back at once


async def _fault(response: httpx.Response, *, streamed: bool) -> str:
    """Why an answer is not whole; empty if it is."""
    if response.status_code != httpx.codes.OK:
        return f"HTTP {response.status_code}: {(await response.aread())[:200]!r}"
    last = ""
    async for line in response.aiter_lines():
        if "error" in line[:16]:
            return line[:200]
        last = line or last
    if streamed:
        return "" if last == "data: [DONE]" else f"cut after {last[:80]!r}"
    return "" if json.loads(last)["choices"] else "no choice"


def _stream(tokens: int) -> dict[str, Any]:
    """Exactly that many tokens, whatever the model would rather say."""
    said = [{"role": "user", "content": "Tell me a long story."}]
    wish = {"max_tokens": tokens, "ignore_eos": True, "stream": True}
    return {"model": MODEL, "messages": said, **wish}
