"""Generators that say what they are told to, and know whether they were closed."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from serve_app.errors import InvalidRequest
from serve_app.messages import Delta, Event, Finish, FinishReason, Request, Usage, texts

PROMPT_TOKENS = 7

Step = Event | Exception | asyncio.Event


class Letters:
    """A vocabulary: every token is the character of its number, whichever model is asked."""

    def __init__(self) -> None:
        self.spelled_by: list[str] = []

    async def spell(self, model: str, tokens: tuple[int, ...]) -> str:
        self.spelled_by.append(model)
        if max(tokens) > sys.maxunicode:
            raise InvalidRequest("There is no such token.", "prompt")
        return "".join(map(chr, tokens))

    async def tokens(self, request: Request) -> tuple[int, ...]:
        return tuple(map(ord, "".join(texts(request))))

    async def pieces(self, _: str, tokens: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(f"<{chr(token)}>" for token in tokens)

    async def about_tokens(self, model: str) -> Mapping[str, Any]:
        return {"tokenizer_class": "Letters", "chat_template": f"of {model}"}


class ScriptedGenerator(Letters):
    """Yields events, raises exceptions and waits where an asyncio.Event stands."""

    def __init__(self, *steps: Step) -> None:
        super().__init__()
        self.steps = steps
        self.requests: list[Request] = []
        self.under_way = 0
        self.entered = asyncio.Event()
        self.left = asyncio.Event()

    async def generate(self, request: Request) -> AsyncGenerator[Event]:
        with self._occupied(request):
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step

    @contextmanager
    def _occupied(self, request: Request) -> Iterator[None]:
        self.requests.append(request)
        self.under_way += 1
        self.entered.set()
        try:
            yield
        finally:
            self.under_way -= 1
            self.left.set()


class EndlessGenerator(ScriptedGenerator):
    """Speaks until it is closed; `text` is one piece."""

    def __init__(self, text: str = "na ") -> None:
        super().__init__()
        self.text = text
        self.pieces = 0

    async def generate(self, request: Request) -> AsyncGenerator[Event]:
        with self._occupied(request):
            while True:
                self.pieces += 1
                yield Delta(self.text, Usage(PROMPT_TOKENS, self.pieces))
                await asyncio.sleep(0)


class EagerGenerator(Letters):
    """Begins before it is asked for an event, as a remote one does."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = 0

    def generate(self, _: Request) -> "EagerGenerator":
        self.under_way += 1
        return self

    def __aiter__(self) -> "EagerGenerator":
        return self

    async def __anext__(self) -> Event:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.under_way -= 1


def spoken(*texts: str, reason: FinishReason = FinishReason.STOP) -> list[Event]:
    """An answer of one token a text, and its end."""
    deltas = [Delta(text, Usage(PROMPT_TOKENS, count)) for count, text in enumerate(texts, 1)]
    return [*deltas, Finish(reason, Usage(PROMPT_TOKENS, len(texts)))]
