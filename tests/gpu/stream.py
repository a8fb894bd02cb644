"""One reader of a benchmark, and what it saw."""

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from serve_app.engine.engine import Engine
from serve_app.messages import CompletionRequest, Delta, Finish, Sampling


@dataclass
class Stream:
    """What one reader saw, in seconds from the asking."""

    asked: float = 0.0  # on the machine's own clock
    first: float = 0.0
    last: float = 0.0
    tokens: int = 0
    pieces: list[float] = field(default_factory=list)

    @property
    def each(self) -> float:
        return (self.last - self.first) / (self.tokens - 1)


async def read(engine: Engine, prompt: list[int], answer: int, **wishes: Any) -> Stream:
    sampling = Sampling(**{"max_tokens": answer, "temperature": 0.0, **wishes})
    request = CompletionRequest("r", "glm", tuple(prompt), sampling)
    begun = time.perf_counter()
    stream = Stream(begun)
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            now = time.perf_counter() - begun
            if isinstance(event, Delta):
                stream.first = stream.first or now
                stream.pieces.append(now)
            if isinstance(event, Finish):
                stream.last, stream.tokens = now, event.usage.completion_tokens
    return stream
