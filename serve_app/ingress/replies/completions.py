"""Text completions, in OpenAI's older format: one text a choice, choices counted over all prompts.

A whole answer is the pieces of a stream put together.
"""

from typing import Any

from serve_app.ingress.replies import logprobs
from serve_app.ingress.replies.head import DONE, Head, ending, frame, usage
from serve_app.ingress.wire import Order
from serve_app.messages import (
    CompletionRequest,
    Delta,
    Echo,
    Event,
    Finish,
    TokenChances,
    Usage,
)


class CompletionFrames:
    """The answer as it comes."""

    def __init__(self, head: Head, order: Order) -> None:
        self._head = head
        self._travel = order.travel
        self._pieces = _Pieces(order)

    def of(self, place: int, event: Event) -> bytes:
        pieces = self._pieces.of(place, event)
        frames = b"".join(self._chunk([piece], last=False) for piece in pieces)
        if not self._pieces.over:
            return frames
        if self._travel.tells_usage:
            frames += self._chunk([], last=True)
        return frames + DONE

    def _chunk(self, choices: list[dict[str, Any]], *, last: bool) -> bytes:
        chunk = {**_fields(self._head), "choices": choices}
        if self._travel.tells_usage:
            chunk["usage"] = self._pieces.usage() if last or self._travel.counts_on else None
        return frame(chunk)


class CompletionWhole:
    """The whole answer at once."""

    def __init__(self, head: Head, order: Order) -> None:
        self._head = head
        self._pieces = _Pieces(order)
        self._choices = [_nothing_yet(index) for index in range(self._pieces.choices)]
        self._tells_prompts = _tells_prompts(order)

    def add(self, place: int, event: Event) -> None:
        for piece in self._pieces.of(place, event):
            choice = self._choices[piece["index"]]
            choice["text"] += piece["text"]
            choice["logprobs"] += [piece["logprobs"]] if piece["logprobs"] else []
            choice |= {name: piece[name] for name in piece if name not in {"text", "logprobs"}}
        if isinstance(event, Echo) and self._tells_prompts:
            for index in self._pieces.of_prompt(place):
                self._choices[index]["prompt_logprobs"] = logprobs.of_prompt(event.chances)

    def body(self) -> dict[str, Any]:
        for choice in self._choices:
            told = choice["logprobs"]
            choice["logprobs"] = logprobs.joined(told) if told else None
        return {
            **_fields(self._head),
            "choices": self._choices,
            "usage": self._pieces.usage(),
        }


class _Pieces:
    """Events as parts of numbered choices, and the tokens of all of them counted."""

    def __init__(self, order: Order) -> None:
        sampling = order.request.sampling
        self._n = sampling.n
        self._echoes = isinstance(order.request, CompletionRequest) and order.request.echo
        self._tells_ids = order.request.handling.tells_tokens
        self._asked = sampling.logprobs is not None
        self._usages = [Usage(0, 0)] * len(order.requests)
        self.choices = self._n * len(order.requests)
        self._unfinished = self.choices
        self._logprobs = [
            logprobs.Legacy(by_id=order.travel.names_ids) for _ in range(self.choices)
        ]

    @property
    def over(self) -> bool:
        return not self._unfinished

    def of_prompt(self, place: int) -> range:
        return range(place * self._n, (place + 1) * self._n)

    def of(self, place: int, event: Event) -> list[dict[str, Any]]:
        if isinstance(event, Echo) and (self._echoes or self._tells_ids):
            return [self._echo(index, event) for index in self.of_prompt(place)]
        if isinstance(event, Delta | Finish):
            self._usages[place] = event.usage
        if isinstance(event, Delta):
            return [self._text(self.of_prompt(place)[event.choice], event)]
        if isinstance(event, Finish):
            self._unfinished -= 1
            index = self.of_prompt(place)[event.choice]
            return [_piece(index) | ending(event)]
        return []

    def usage(self) -> dict[str, Any]:
        return usage(
            Usage(
                sum(each.prompt_tokens for each in self._usages),
                sum(each.completion_tokens for each in self._usages),
                sum(each.cached_tokens for each in self._usages),
                sum(each.reasoning_tokens for each in self._usages),
            )
        )

    def _echo(self, index: int, echo: Echo) -> dict[str, Any]:
        told = self._logprobs[index].echoed(echo) if self._asked and self._echoes else None
        ids = {"prompt_token_ids": echo.tokens} if self._tells_ids else {}
        return _piece(index, echo.text, told) | ids

    def _text(self, index: int, delta: Delta) -> dict[str, Any]:
        told = self._told(index, delta.chances) if self._asked else None
        return _piece(index, delta.text, told)

    def _told(self, index: int, chances: tuple[TokenChances, ...]) -> dict[str, Any] | None:
        return self._logprobs[index].of(chances) if chances else None


def _piece(index: int, text: str = "", told: Any = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": told, "finish_reason": None}


def _nothing_yet(index: int) -> dict[str, Any]:
    return _piece(index, told=[])


def _tells_prompts(order: Order) -> bool:
    """By vLLM's field, unless an echo tells the same in its own way."""
    request = order.request
    echoed = isinstance(request, CompletionRequest) and request.echo
    told = echoed and request.sampling.logprobs is not None
    return request.sampling.prompt_logprobs is not None and not told


def _fields(head: Head) -> dict[str, Any]:
    return head.fields("cmpl", "text_completion")
