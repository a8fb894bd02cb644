"""The routes, and what stands around them."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve_app import __version__
from serve_app.errors import ServeAppError
from serve_app.ingress import failures, replies
from serve_app.ingress.answers import CHAT, COMPLETIONS, Answers, Kind
from serve_app.ingress.border import Border
from serve_app.ingress.cards import Cards
from serve_app.ingress.readiness import Probe, Readiness
from serve_app.ingress.request_ids import RequestIds
from serve_app.ingress.tokenising import Tokenising
from serve_app.pipeline import Doors
from serve_app.settings import ServerSettings
from serve_app.telemetry import Exchanges


@dataclass(frozen=True)
class FrontDoor:
    """What the front door needs from the house behind it."""

    doors: Doors
    cards: Cards
    probe: Probe
    """Runs one real one-token answer through the house; raises ServeAppError."""
    metrics: Callable[[], Awaitable[bytes]]
    """Prometheus text of all replicas."""
    settings: ServerSettings
    exchanges: Exchanges


def build(
    front: FrontDoor,
    *,
    wall_clock: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """The application; `wall_clock` gives Unix seconds, `clock` seconds that never go back."""
    readiness = Readiness(front.probe, front.doors.gate, front.settings, clock)
    desk = _Desk(front, readiness)
    tokenising = Tokenising(front.doors, front.cards, front.settings)

    def answers(kind: Kind) -> Answers:
        return Answers(kind, front.doors, front.cards, front.settings, wall_clock)

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", answers(CHAT), methods=["POST"]),
            Route("/v1/completions", answers(COMPLETIONS), methods=["POST"]),
            Route("/tokenize", tokenising.tokenize, methods=["POST"]),
            Route("/detokenize", tokenising.detokenize, methods=["POST"]),
            Route("/tokenizer_info", tokenising.about),
            Route("/v1/models", desk.models),
            Route("/v1/models/{name:path}", desk.model),
            Route("/health", desk.health),
            Route("/ready", desk.ready),
            Route("/metrics", desk.metrics),
            Route("/version", desk.version),
        ],
        middleware=[
            Middleware(RequestIds),
            Middleware(Border, front.exchanges, clock, front.settings.version),
        ],
        exception_handlers={
            ServeAppError: failures.told,
            HTTPException: failures.misdirected,
        },
    )
    for route in app.routes:
        if isinstance(route, Route) and "POST" in (route.methods or ()):
            front.exchanges.expect(route.path_format)
    app.router.redirect_slashes = False  # one path each; a redirect would lose a POST's body
    return app


class _Desk:
    """The questions that are answered without a model."""

    def __init__(self, front: FrontDoor, readiness: Readiness) -> None:
        self._cards = front.cards
        self._metrics = front.metrics
        self._readiness = readiness

    async def models(self, _: Request) -> Response:
        return _json(replies.models([self._cards.current]))

    async def model(self, request: Request) -> Response:
        return _json(replies.model(self._cards.find(request.path_params["name"])))

    async def health(self, _: Request) -> Response:
        """Alive: the event loop turns. No I/O, so a slow engine never gets the door killed."""
        return _json({"status": "alive"})

    async def ready(self, _: Request) -> Response:
        await self._readiness.check()
        return _json({"status": "ready"})

    async def metrics(self, _: Request) -> Response:
        return Response(await self._metrics(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def version(self, _: Request) -> Response:
        card = self._cards.current
        models = [{"name": card.name, "digest": card.digest}]
        return _json({"version": __version__, "models": models})


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
