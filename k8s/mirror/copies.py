"""What a copy asks, and what two answers to it say about the candidate: pure."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from k8s.evaluation.scores import chrf
from serve_app.messages import refuses

_ASKED: Final = ("messages", "model", "tools", "tool_choice", "response_format")


class Kind(StrEnum):
    """What an answer was."""

    ANSWERED = "answered"
    EMPTY = "empty"
    REFUSED = "refused"
    FAILED = "failed"


def capped(body: Any, max_tokens: int) -> dict[str, Any] | None:
    """The likeliest short answer to the same question; None where it is no chat.

    Nothing else of the request goes along: no stream, no n, nobody's user name.
    """
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return None
    wished = body.get("max_completion_tokens") or body.get("max_tokens") or max_tokens
    if not isinstance(wished, int) or isinstance(wished, bool):
        return None
    asked = {name: body[name] for name in _ASKED if name in body}
    return asked | {"max_tokens": min(wished, max_tokens), "temperature": 0, "seed": 0}


def text_of(response: Mapping[str, Any]) -> str:
    """The answer, tool calls included; raises KeyError and its like where there is none."""
    message = response["choices"][0]["message"]
    calls = (each["function"] for each in message.get("tool_calls") or ())
    called = (f"{each['name']} {each['arguments']}" for each in calls)
    return "\n".join((message.get("content") or "", *called)).strip()


def kind_of(text: str | None) -> Kind:
    """None is an answer that never came."""
    if text is None:
        return Kind.FAILED
    if not text:
        return Kind.EMPTY
    return Kind.REFUSED if refuses(text) else Kind.ANSWERED


def similarity(mine: str | None, theirs: str) -> float:
    """As chrF sees it, 0 to 1; an answer that never came is like nothing."""
    if mine is None:
        return 0.0
    if not theirs or not mine:
        return float(mine == theirs)
    return chrf(mine, (theirs,))
