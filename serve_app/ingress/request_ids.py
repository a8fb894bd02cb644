"""Every exchange has one id: the caller's if it is harmless, a fresh one if not."""

import re
import uuid

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"
_HARMLESS = re.compile(r"[A-Za-z0-9._-]{1,64}")


class RequestIds:
    """Sets the id in the headers that come in and in those that go out.

    May stand in the chain twice: Serve puts its own echo of the id around the application,
    and only a second one around that keeps the header single.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        request_id = _admit(headers.getlist(HEADER))
        _set(headers, request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                _set(MutableHeaders(scope=message), request_id)
            await send(message)

        await self._app(scope, receive, send_with_id)


def outermost() -> list[Middleware]:
    """What Serve's `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` may name."""
    return [Middleware(RequestIds)]


def request_id(scope: Scope) -> str:
    """The id of the exchange; the middleware has seen to it that there is one."""
    return MutableHeaders(scope=scope)[HEADER]


def _admit(offered: list[str]) -> str:
    if len(offered) == 1 and _HARMLESS.fullmatch(offered[0]):
        return offered[0]
    return uuid.uuid4().hex


def _set(headers: MutableHeaders, request_id: str) -> None:
    """One header, whatever number there was."""
    headers[HEADER] = request_id
