"""The rooms the corridor leads to, as it sees them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from serve_app.messages import Event, Request, Side, Verdict
from serve_app.pipeline.gate import Gate


class InputGuard(Protocol):
    """Judges a whole request before any work is done; its prompt is text, never token ids."""

    async def check(self, request: Request) -> Verdict: ...


class OutputGuard(Protocol):
    """Screens one text; what it returns may leave, what it holds may not yet."""

    @property
    def verdict(self) -> Verdict: ...

    def feed(self, text: str) -> str: ...

    def close(self) -> str:
        """Give what may leave if the text ends here; more may be fed all the same."""
        ...


class OutputGuards(Protocol):
    """Makes a fresh output guard for each text."""

    def open(self) -> OutputGuard: ...


class Events(Protocol):
    """One answer as it comes; closing it cancels the work."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def aclose(self) -> None: ...


class Generator(Protocol):
    """Where tokens come from; the work may begin before the first event is asked for."""

    def generate(self, request: Request) -> Events: ...

    async def spell(self, model: str, tokens: tuple[int, ...]) -> str:
        """What these tokens stand for in that model; raises InvalidRequest if one does not."""
        ...

    async def tokens(self, request: Request) -> tuple[int, ...]:
        """The prompt as the model reads it."""
        ...

    async def pieces(self, model: str, tokens: tuple[int, ...]) -> tuple[str, ...]:
        """How the model's vocabulary writes tokens."""
        ...

    async def about_tokens(self, model: str) -> Mapping[str, Any]:
        """What the model's files say of its tokens and their template."""
        ...


class Record(Protocol):
    """Sees what happens to one request and writes it down once, however it ends."""

    def judged(self, side: Side, verdict: Verdict) -> None: ...

    def sent(self, event: Event) -> None: ...

    def failed(self, error: BaseException) -> None: ...

    def close(self) -> None: ...


class Records(Protocol):
    """Opens a record for each request."""

    def open(self, request: Request) -> Record: ...


@dataclass(frozen=True, slots=True)
class Doors:
    """The rooms the corridor leads to."""

    input_guard: InputGuard
    output_guards: OutputGuards
    generator: Generator
    records: Records
    gate: Gate = field(default_factory=Gate)
