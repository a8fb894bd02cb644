"""Chat completions, in OpenAI's format; thoughts by the names that GLM's API and vLLM have."""

from collections.abc import Mapping
from typing import Any

import orjson

from serve_app.ingress.replies import logprobs
from serve_app.ingress.replies.head import DONE, Head, ending, frame, usage
from serve_app.ingress.wire import Order
from serve_app.messages import (
    Channel,
    Delta,
    Echo,
    Event,
    Finish,
    TokenChances,
    ToolDelta,
    Usage,
)

_PLACE = "\0"
_NOTHING: Mapping[str, Any] = {}


class ChatFrames:
    """Only the text between two fixed ends changes from token to token: they are made once."""

    def __init__(self, head: Head, order: Order) -> None:
        self._head = head
        self._travel = order.travel
        self._first = {"role": order.role, "content": order.echo}
        self._tells_ids = order.request.handling.tells_tokens
        self._prompt: tuple[int, ...] = ()
        self._opened = False
        self._unfinished = order.request.sampling.n
        self._ends = [
            self._chunk(choice, delta={"content": _PLACE}).partition(orjson.dumps(_PLACE))
            for choice in range(self._unfinished)
        ]

    def of(self, _: int, event: Event) -> bytes:
        frames = self._frames(event)
        begins = frames or isinstance(event, Delta)  # a first byte, be thoughts left out
        if self._opened or not begins:
            return frames
        self._opened = True
        return self._opening() + frames

    def _opening(self) -> bytes:
        ids = {"prompt_token_ids": self._prompt} if self._prompt else {}
        nothing = Usage(0, 0)
        return b"".join(
            self._chunk(choice, nothing, ids, delta=self._first)
            for choice in range(len(self._ends))
        )

    def _frames(self, event: Event) -> bytes:
        if isinstance(event, Delta):
            return self._said(event)
        if isinstance(event, ToolDelta):
            deltas = _call_deltas(event)
            return b"".join(self._chunk(event.choice, event.usage, delta=each) for each in deltas)
        if isinstance(event, Finish):
            return self._closing(event)
        if isinstance(event, Echo) and self._tells_ids:
            self._prompt = event.tokens
        return b""

    def _said(self, said: Delta) -> bytes:
        if said.channel is Channel.REASONING and not self._travel.tells_thoughts:
            return b""
        plain = said.channel is Channel.CONTENT and not said.chances
        if plain and not self._travel.counts_on:
            before, _, after = self._ends[said.choice]
            return before + orjson.dumps(said.text) + after
        chances = _content_chances(said)
        told = logprobs.content(chances, by_id=self._travel.names_ids) if chances else None
        return self._chunk(said.choice, said.usage, delta=_delta(said), logprobs=told)

    def _closing(self, finish: Finish) -> bytes:
        end = self._chunk(finish.choice, finish.usage, delta={}, **ending(finish))
        self._unfinished -= 1
        if self._unfinished:
            return end
        if self._travel.tells_usage:
            end += frame({**self._fields(), "choices": [], "usage": usage(finish.usage)})
        return end + DONE

    def _chunk(
        self,
        choice: int,
        counts: Usage | None = None,
        more: Mapping[str, Any] = _NOTHING,
        **part: Any,
    ) -> bytes:
        whole = {"index": choice, "delta": {}, "logprobs": None, "finish_reason": None, **part}
        chunk = {**self._fields(), **more, "choices": [whole]}
        if self._travel.tells_usage:  # null is OpenAI's way to announce the counts of the last
            chunk["usage"] = usage(counts) if counts and self._travel.counts_on else None
        return frame(chunk)

    def _fields(self) -> dict[str, Any]:
        return self._head.fields("chatcmpl", "chat.completion.chunk")


def _delta(delta: Delta) -> dict[str, Any]:
    return {"content": delta.text} if delta.channel is Channel.CONTENT else _thought(delta.text)


def _thought(text: str) -> dict[str, Any]:
    return {"reasoning_content": text, "reasoning": text}


def _content_chances(delta: Delta) -> tuple[TokenChances, ...]:
    """OpenAI tells those of the words alone."""
    return delta.chances if delta.channel is Channel.CONTENT else ()


def _call_deltas(piece: ToolDelta) -> list[dict[str, Any]]:
    """The first piece of a call has no arguments yet."""
    entries: list[dict[str, Any]] = []
    if piece.name is not None:
        entries.append(_call(piece.id, piece.name, "") | {"index": piece.call})
    if piece.text:
        entries.append({"index": piece.call, "function": {"arguments": piece.text}})
    return [{"tool_calls": [entry]} for entry in entries]


def _call(call_id: str | None, name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


class ChatWhole:
    """The whole answer at once."""

    def __init__(self, head: Head, order: Order) -> None:
        self._head = head
        self._asked = order.request.sampling
        self._travel = order.travel
        self._tells_ids = order.request.handling.tells_tokens
        self._choices = [_Choice(order.role, order.echo) for _ in range(self._asked.n)]
        self._echo: Echo | None = None
        self._usage = Usage(0, 0)

    def add(self, _: int, event: Event) -> None:
        if isinstance(event, Echo):
            self._echo = event
        elif isinstance(event, Delta | ToolDelta | Finish):
            self._choices[event.choice].add(event)
            self._usage = event.usage

    def body(self) -> dict[str, Any]:
        body = {
            **self._head.fields("chatcmpl", "chat.completion"),
            "choices": [self._choice(*each) for each in enumerate(self._choices)],
            "usage": usage(self._usage),
        }
        if self._echo is not None and self._asked.prompt_logprobs is not None:
            body["prompt_logprobs"] = logprobs.of_prompt(self._echo.chances)
        if self._echo is not None and self._tells_ids:
            body["prompt_token_ids"] = self._echo.tokens
        return body

    def _choice(self, index: int, choice: "_Choice") -> dict[str, Any]:
        asked = self._asked.logprobs is not None
        return {
            "index": index,
            "message": choice.message(tells_thoughts=self._travel.tells_thoughts),
            "logprobs": self._told(choice.chances) if asked else None,
            **(ending(choice.finish) if choice.finish else {}),
        }

    def _told(self, chances: list[TokenChances]) -> dict[str, Any]:
        return logprobs.content(chances, by_id=self._travel.names_ids)


class _Choice:
    """One answer of several, as far as it has come."""

    def __init__(self, role: str, echo: str) -> None:
        self.chances: list[TokenChances] = []
        self.finish: Finish | None = None
        self._role = role
        self._echo = echo
        self._texts: dict[Channel, list[str]] = {channel: [] for channel in Channel}
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, event: Delta | ToolDelta | Finish) -> None:
        if isinstance(event, Delta):
            self._texts[event.channel].append(event.text)
            self.chances += _content_chances(event)
        elif isinstance(event, ToolDelta):
            if event.name is not None:
                self._calls[event.call] = _call(event.id, event.name, "")
            self._calls[event.call]["function"]["arguments"] += event.text
        else:
            self.finish = event

    def message(self, *, tells_thoughts: bool) -> dict[str, Any]:
        words, thought = ("".join(self._texts[channel]) for channel in Channel)
        content = self._echo + words or (None if self._calls else "")
        message: dict[str, Any] = {"role": self._role, "content": content, "refusal": None}
        if thought and tells_thoughts:
            message |= _thought(thought)
        if self._calls:
            message["tool_calls"] = list(self._calls.values())
        return message
