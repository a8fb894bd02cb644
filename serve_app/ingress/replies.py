"""Answers in OpenAI's public format."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from serve_app.messages import Finish, FinishReason, ModelCard, Usage

_OWNER = "glm-serve"


@dataclass(frozen=True, slots=True)
class Head:
    """What every part of one answer repeats; `created` is Unix seconds."""

    request_id: str
    created: int
    card: ModelCard

    def fields(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.request_id}",
            "object": kind,
            "created": self.created,
            "model": self.card.name,
            "system_fingerprint": f"fp_{self.card.digest[:12]}",
        }


def completion(head: Head, text: str, finish: Finish) -> dict[str, Any]:
    """The whole answer at once."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": finish.reason,
    }
    return {
        **head.fields("chat.completion"),
        "choices": [choice],
        "usage": usage(finish.usage),
    }


def chunk(head: Head, delta: dict[str, Any], reason: FinishReason | None = None) -> dict[str, Any]:
    """One part of a streamed answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {**head.fields("chat.completion.chunk"), "choices": [choice]}


def usage_chunk(head: Head, counts: Usage) -> dict[str, Any]:
    """The part that ends a stream for those who asked for counts."""
    return {**head.fields("chat.completion.chunk"), "choices": [], "usage": usage(counts)}


def usage(counts: Usage) -> dict[str, Any]:
    """Token counts."""
    return {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "total_tokens": counts.prompt_tokens + counts.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": counts.cached_tokens},
    }


def models(cards: Iterable[ModelCard]) -> dict[str, Any]:
    """What GET /v1/models says."""
    return {"object": "list", "data": [model(card) for card in cards]}


def model(card: ModelCard) -> dict[str, Any]:
    """One model, with two fields more than OpenAI's."""
    return {
        "id": card.name,
        "object": "model",
        "created": card.created,
        "owned_by": _OWNER,
        "max_model_len": card.context_tokens,  # vLLM's name
        "model_digest": card.digest,
    }
