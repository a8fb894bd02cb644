"""What all parts of all answers share."""

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from serve_app.messages import Event, Finish, ModelCard, Usage

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Head:
    """What every part of one answer repeats; `created` is Unix seconds."""

    answer_id: str
    created: int
    card: ModelCard

    def fields(self, prefix: str, kind: str) -> dict[str, Any]:
        return {
            "id": f"{prefix}-{self.answer_id}",
            "object": kind,
            "created": self.created,
            "model": self.card.name,
            "system_fingerprint": f"fp_{self.card.digest[:12]}",
        }


class Frames(Protocol):
    """An answer as it comes, as server-sent events; `place` is that of the request in its order."""

    def of(self, place: int, event: Event) -> bytes:
        """Nothing, if the event has nothing for the caller."""
        ...


class Whole(Protocol):
    """An answer that is gathered and told at once."""

    def add(self, place: int, event: Event) -> None: ...

    def body(self) -> dict[str, Any]: ...


def frame(chunk: dict[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def usage(counts: Usage) -> dict[str, Any]:
    """Token counts."""
    return {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "total_tokens": counts.prompt_tokens + counts.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": counts.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
    }


def ending(finish: Finish) -> dict[str, Any]:
    """How a choice ended, with vLLM's fields; token ids only if asked for."""
    told = {"finish_reason": finish.reason, "stop_reason": finish.stopped_by}
    return told if finish.spelt is None else {**told, "token_ids": finish.spelt.tokens}
