"""What a body turns into: requests for the corridor, and how their answer shall travel."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import StringConstraints

from serve_app.errors import InvalidRequest
from serve_app.ingress.wire.strict import INT64, Wire
from serve_app.messages import Caller, Request, Urgency


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is known of a request from outside its body; a priority here goes before the body's."""

    request_id: str
    caller: Caller = field(default_factory=Caller)
    deadline_s: float | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Travel:
    """How an answer goes to its reader."""

    stream: bool = False
    tells_usage: bool = False  # in a chunk of its own, at the end of a stream
    counts_on: bool = False  # in every chunk too
    tells_thoughts: bool = True  # whether a thinking model's thoughts go along
    names_ids: bool = False  # whether tokens are told by their numbers, where chances are told


@dataclass(frozen=True, slots=True)
class Order:
    """Requests of one kind, for one model, with the same sampling."""

    envelope: Envelope
    requests: tuple[Request, ...]
    travel: Travel
    answer_id: str
    role: str = "assistant"  # who answers
    echo: str = ""  # what a chat's answer begins with

    @property
    def request(self) -> Request:
        """The first, which speaks for all that they share."""
        return self.requests[0]

    def addressed(self, model: str) -> "Order":
        """The same to the model of that name."""
        requests = tuple(replace(request, model=model) for request in self.requests)
        return replace(self, requests=requests)


class StreamOptions(Wire):
    """What a stream tells beside the answer."""

    include_usage: bool = False
    continuous_usage_stats: bool = False
    include_obfuscation: Any = None


class OrderFields(Wire):
    """What every kind of text request may say about itself."""

    model: str
    stream_options: StreamOptions | None = None
    return_tokens_as_token_ids: bool = False
    priority: INT64 = 0
    request_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None


def urgency(fields: OrderFields, envelope: Envelope) -> Urgency:
    """Who holds the envelope knows better than the body."""
    stated = envelope.priority
    return Urgency(fields.priority if stated is None else stated, envelope.deadline_s)


def travel(fields: OrderFields, *, stream: bool, tells_thoughts: bool = True) -> Travel:
    """Raises InvalidRequest if there are options for a stream and no stream."""
    if fields.stream_options is not None and not stream:
        raise InvalidRequest(
            "'stream_options' needs 'stream': true; set it or leave the options out.",
            "stream_options",
        )
    options = fields.stream_options or StreamOptions()
    return Travel(
        stream=stream,
        tells_usage=options.include_usage,
        counts_on=options.include_usage and options.continuous_usage_stats,
        tells_thoughts=tells_thoughts,
        names_ids=fields.return_tokens_as_token_ids,
    )
