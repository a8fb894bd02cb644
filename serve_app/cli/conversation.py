"""A conversation with a running server: what was said so far, and the next answer."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx

from serve_app.cli.client import CHAT, EventStream, error_in, finish_of, text_of


@dataclass
class Conversation:
    """Grows by a question and an answer at a time."""

    client: httpx.Client
    model: str
    system: str | None = None
    temperature: float | None = None
    turns: list[Mapping[str, str]] = field(default_factory=list)
    finish: str | None = None  # why the last answer ended; None: it was stopped

    def reset(self) -> None:
        """Forget everything but the system prompt."""
        self.turns.clear()

    def ask(self, question: str) -> Generator[str]:
        """Yield the answer as it comes; closing stops it, and what was said is remembered."""
        asked = {"role": "user", "content": question}
        said: list[str] = []
        self.finish = None
        try:
            with closing(self._stream([*self.turns, asked])) as texts:
                for text in texts:
                    said.append(text)
                    yield text
        finally:
            if said:
                self.turns += [asked, {"role": "assistant", "content": "".join(said)}]

    def _stream(self, turns: list[Mapping[str, str]]) -> Generator[str]:
        events = EventStream()
        with self.client.stream("POST", CHAT, json=self._body(turns)) as response:
            if response.is_error:
                raise error_in(response.status_code, response.read())
            for piece in response.iter_bytes():
                for chunk in events.feed(piece):
                    self.finish = finish_of(chunk) or self.finish
                    yield text_of(chunk)
        events.close()

    def _body(self, turns: list[Mapping[str, str]]) -> dict[str, Any]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        body = {"model": self.model, "messages": [*system, *turns], "stream": True}
        if self.temperature is not None:
            body["temperature"] = self.temperature
        return body
