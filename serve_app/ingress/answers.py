"""POST to a model: read, admit, carry through the corridor, answer."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve_app.errors import HTTP_ERRORS
from serve_app.ingress import body, failures, replies, wire
from serve_app.ingress.cards import Cards
from serve_app.ingress.entry import Entry
from serve_app.ingress.envelopes import Envelopes
from serve_app.ingress.hangup import attended, within
from serve_app.ingress.sse import SseResponse
from serve_app.pipeline import Doors, answers
from serve_app.settings import ServerSettings
from serve_app.telemetry import log


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to ask and to be answered."""

    read: Callable[[bytes, wire.Envelope], wire.Order]
    frames: Callable[[replies.Head, wire.Order], replies.Frames]
    whole: Callable[[replies.Head, wire.Order], replies.Whole]


CHAT = Kind(wire.chat, replies.ChatFrames, replies.ChatWhole)
COMPLETIONS = Kind(wire.completions, replies.CompletionFrames, replies.CompletionWhole)


class Answers:
    """An ASGI application of its own, because an answer outlives a returned response object.

    `wall_clock` gives Unix seconds.
    """

    def __init__(
        self,
        kind: Kind,
        doors: Doors,
        cards: Cards,
        settings: ServerSettings,
        wall_clock: Callable[[], float],
    ) -> None:
        self._kind = kind
        self._doors = doors
        self._entry = Entry(cards, settings)
        self._envelopes = Envelopes(settings)
        self._settings = settings
        self._wall_clock = wall_clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        order = await self._read(Request(scope, receive))
        card = self._entry.admit(order)
        order = order.addressed(card.name)
        head = replies.Head(order.answer_id, int(self._wall_clock()), card)
        async with attended(receive):
            if order.travel.stream:
                await self._stream(order, head, send)
            else:
                response = await self._complete(order, head)
                await response(scope, receive, send)

    async def _read(self, request: Request) -> wire.Order:
        envelope = self._envelopes.of(request)
        return await body.parsed(
            request, self._settings.max_body_bytes, lambda text: self._kind.read(text, envelope)
        )

    async def _complete(self, order: wire.Order, head: replies.Head) -> Response:
        whole = self._kind.whole(head, order)
        async with (
            within(self._settings.max_stream_s),
            aclosing(answers(order.requests, self._doors)) as events,
        ):
            async for place, event in events:
                whole.add(place, event)
        return Response(orjson.dumps(whole.body()), media_type="application/json")

    async def _stream(self, order: wire.Order, head: replies.Head, send: Send) -> None:
        stream = SseResponse(send, self._kind.frames(head, order))
        try:
            async with (
                within(self._settings.max_stream_s),
                aclosing(answers(order.requests, self._doors)) as events,
            ):
                async for place, event in events:
                    await stream.send(place, event)
                await stream.close()
        except Exception as error:
            if not stream.started:
                raise
            request_id = order.envelope.request_id
            shown = failures.public(error, request_id)
            code = HTTP_ERRORS[type(shown)].code  # the status has long been 200
            log().warning("broken_stream", request_id=request_id, code=code)
            await stream.fail(shown)
