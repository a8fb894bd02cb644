"""Asks an OpenAI endpoint, several questions at a time, and times what comes."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from k8s.errors import Unreachable
from k8s.evaluation.golden import Question
from k8s.road.pins import VERSION_HEADER

_TIMEOUT: Final = httpx.Timeout(120, connect=10)  # seconds; a cold model takes its time
BLOCKED: Final = "content_filter"
"""How an answer ends that a guard has stopped."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask: `pin` names a version behind a gateway; `model` is its first one by default."""

    url: str
    pin: str = ""
    model: str = ""

    def headers(self) -> dict[str, str]:
        return {VERSION_HEADER: self.pin} if self.pin else {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came; times in seconds from the question on."""

    id: str
    text: str = ""
    calls: tuple[dict[str, str], ...] = ()
    """Name and arguments of each, the arguments as they were written."""
    finish: str = ""
    first_s: float | None = None
    whole_s: float | None = None
    tokens: int = 0
    error: str = ""


@dataclass
class _Draft:
    """An answer while it comes."""

    began: float
    text: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    finish: str = ""
    first_s: float | None = None
    tokens: int = 0


async def ask(
    endpoint: Endpoint,
    questions: Sequence[Question],
    *,
    at_once: int = 4,
    clock: Callable[[], float] = time.perf_counter,
    transport: httpx.AsyncBaseTransport | None = None,
) -> tuple[Answer, ...]:
    """Answers in the order of the questions; raises Unreachable where nobody answers at all."""
    turnstile = asyncio.Semaphore(at_once)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=endpoint.url.rstrip("/").removesuffix("/v1"),
                headers=endpoint.headers(),
                timeout=_TIMEOUT,
                transport=transport,
            )
        )
        model = endpoint.model or await _first_model(client)

        async def one(question: Question) -> Answer:
            async with turnstile:
                return await _ask(client, model, question, clock)

        answers = await asyncio.gather(*map(one, questions))
    if all(answer.error.startswith("no answer") for answer in answers):
        raise Unreachable(f"Nobody answers at {endpoint.url}: {answers[0].error}.")
    return tuple(answers)


async def _first_model(client: httpx.AsyncClient) -> str:
    """What the server calls its model."""
    try:
        response = await client.get("/v1/models")
        response.raise_for_status()
        if stranger := _stranger(client, response):
            raise Unreachable(f"{client.base_url} does not lead there: {stranger}.")
        name: str = response.json()["data"][0]["id"]
    except httpx.UnsupportedProtocol as error:
        raise Unreachable(f"{client.base_url} is no address such as http://gateway.") from error
    except httpx.TransportError as error:
        why = type(error).__name__
        raise Unreachable(f"{client.base_url} does not answer ({why}).") from error
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
        address = client.base_url
        raise Unreachable(f"{address} names no model ({type(error).__name__}).") from error
    return name


def _stranger(client: httpx.AsyncClient, response: httpx.Response) -> str:
    """Who answered in place of the version that was asked for; empty where nobody did.

    A gateway that knows no such version leads to the one that users have.
    """
    asked, named = (each.headers.get(VERSION_HEADER) for each in (client, response))
    if asked in {None, named} or (named is None and response.is_error):
        return ""
    return f"{asked} was asked for, and {named or 'nobody with a name'} answered"


async def _ask(
    client: httpx.AsyncClient, model: str, question: Question, clock: Callable[[], float]
) -> Answer:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body = question.body() | options | {"model": model}
    draft = _Draft(clock())
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            if stranger := _stranger(client, response):
                return Answer(question.id, error=stranger)
            if response.is_error:
                return _refused(question, response.status_code, await response.aread())
            async for line in response.aiter_lines():
                _take(draft, line, clock)
    except httpx.HTTPError as error:
        return Answer(question.id, error=f"no answer ({type(error).__name__})")
    except (ValueError, KeyError, TypeError):
        return Answer(question.id, error="an answer in no known form")
    return Answer(
        question.id,
        text="".join(draft.text),
        calls=tuple(draft.calls.values()),
        finish=draft.finish,
        first_s=draft.first_s,
        whole_s=clock() - draft.began,
        tokens=draft.tokens,
        error="" if draft.finish else "the answer broke off",
    )


def _refused(question: Question, status: int, body: bytes) -> Answer:
    """A guard's refusal is an answer; anything else is an error."""
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = ""
    if code == BLOCKED:
        return Answer(question.id, finish=BLOCKED)
    return Answer(question.id, error=f"HTTP {status} {code}".strip())


def _take(draft: _Draft, line: str, clock: Callable[[], float]) -> None:
    """One line of the event stream."""
    if not line.startswith("data:") or line.endswith("[DONE]"):
        return
    chunk = json.loads(line.removeprefix("data:"))
    if "error" in chunk:
        raise ValueError(chunk["error"])
    if usage := chunk.get("usage"):
        draft.tokens = usage["completion_tokens"]
    for choice in chunk["choices"]:
        draft.finish = choice.get("finish_reason") or draft.finish
        _hear(draft, choice.get("delta") or {}, clock)


def _hear(draft: _Draft, delta: dict[str, Any], clock: Callable[[], float]) -> None:
    if (delta.get("content") or delta.get("tool_calls")) and draft.first_s is None:
        draft.first_s = clock() - draft.began
    draft.text.append(delta.get("content") or "")
    for call in delta.get("tool_calls") or ():
        kept = draft.calls.setdefault(call["index"], {"name": "", "arguments": ""})
        function = call.get("function") or {}
        kept["name"] += function.get("name") or ""
        kept["arguments"] += function.get("arguments") or ""
