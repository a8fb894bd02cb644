"""Errors as the caller sees them: the table of `errors.py`, in OpenAI's shape."""

import math

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from serve_app.errors import (
    HTTP_ERRORS,
    EngineFailed,
    Overloaded,
    Refused,
    ServeAppError,
    UnknownRoute,
    WrongMethod,
)
from serve_app.ingress.request_ids import request_id
from serve_app.telemetry import log

_NOTED = "glm.error"  # key in an ASGI scope


def public(error: Exception, request_id: str) -> ServeAppError:
    """The error that may be shown; details of our own failures go to the log instead."""
    if isinstance(error, ServeAppError) and type(error) in _SHOWN:
        return error
    log().error("failure", request_id=request_id, exc_info=error)
    return EngineFailed(
        f"The server failed on this request; try again, and if it stays, report id {request_id}."
    )


def body(error: ServeAppError) -> bytes:
    """JSON, for a response as for a frame of a stream."""
    row = HTTP_ERRORS[type(error)]
    shape = {
        "message": error.message,
        "type": row.type,
        "param": error.param if isinstance(error, Refused) else None,
        "code": row.code,
    }
    return orjson.dumps({"error": shape})


def response(error: ServeAppError) -> Response:
    """The status and the headers belong to the table too."""
    status = HTTP_ERRORS[type(error)].status
    return Response(body(error), status, _retry(error), media_type="application/json")


def _retry(error: ServeAppError) -> dict[str, str]:
    """When to ask again: whole seconds for everyone, milliseconds for OpenAI's clients."""
    fixed_s = HTTP_ERRORS[type(error)].retry_after_s
    wait_s = error.retry_after_s if isinstance(error, Overloaded) else fixed_s
    if wait_s is None:
        return {}
    return {
        "retry-after": str(math.ceil(wait_s)),
        "retry-after-ms": str(math.ceil(wait_s * 1000)),
    }


async def told(request: Request, error: Exception) -> Response:
    """Starlette's handler for the errors of the house."""
    shown = public(error, request_id(request.scope))
    note(request.scope, shown)
    return response(shown)


def note(scope: Scope, error: ServeAppError) -> None:
    """For the log line that ends the exchange."""
    scope[_NOTED] = error


def noted(scope: Scope) -> ServeAppError | None:
    """What the caller was told instead of an answer."""
    error: ServeAppError | None = scope.get(_NOTED)
    return error


async def misdirected(request: Request, error: Exception) -> Response:
    """Starlette's handler for its own two errors: no such path, no such method on it."""
    headers = (error.headers or {}) if isinstance(error, HTTPException) else {}
    allowed = headers.get("Allow")
    shown: ServeAppError = (
        WrongMethod(f"This path does not take that method; use {allowed}.")
        if allowed
        else UnknownRoute(f"There is no such path; there are {_paths(request)}.")
    )
    note(request.scope, shown)
    answer = response(shown)
    if allowed:
        answer.headers["allow"] = allowed
    return answer


def _paths(request: Request) -> str:
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    shown = [
        f"{min((route.methods or {'GET'}) - {'HEAD'})} {route.path_format}" for route in routes
    ]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


_SHOWN = HTTP_ERRORS.keys() - {EngineFailed}
