"""The outer wall: what nobody caught becomes a plain 500, and every exchange is counted.

Every answer says which release gave it. The gateway could, but not without giving each release
connections of its own, which it forgets at the moment its share becomes none: users met that.
"""

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_app.errors import HTTP_ERRORS, ServeAppError
from serve_app.ingress import failures
from serve_app.ingress.reasons import reason
from serve_app.ingress.request_ids import request_id
from serve_app.telemetry import Exchanges

VERSION_HEADER = "x-model-version"
NO_ANSWER = 499  # nginx's status for a client that left first


class Border:
    """Stands inside `RequestIds`; `clock` counts seconds and never goes back."""

    def __init__(
        self, app: ASGIApp, exchanges: Exchanges, clock: Callable[[], float], version: str = ""
    ) -> None:
        self._app = app
        self._version = version
        self._exchanges = exchanges
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s, status = self._clock(), NO_ANSWER

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._version:
                    MutableHeaders(scope=message)[VERSION_HEADER] = self._version
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            pass  # nobody is left to be told
        except Exception as error:
            if status != NO_ANSWER:
                raise  # too late for a status: the server closes the connection
            shown = failures.public(error, request_id(scope))
            failures.note(scope, shown)
            answer = failures.response(shown)
            await answer(scope, receive, watched_send)
        finally:
            self._exchanges.ended(
                request_id=request_id(scope),
                route=_route(scope),
                method=scope["method"],
                status=status,
                duration_s=self._clock() - started_s,
                **_told(failures.noted(scope)),
            )


def _told(error: ServeAppError | None) -> dict[str, str | None]:
    if error is None:
        return {}
    return {"code": HTTP_ERRORS[type(error)].code, "reason": reason(error)}


def _route(scope: Scope) -> str:
    """The template of the path, as the router found it."""
    path: str = getattr(scope.get("route"), "path_format", "unknown")
    return path
