"""7. The other deployments as the ingress sees them: handles in the shape of the corridor's doors.

What Ray raises is translated here and nowhere else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
)
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from serve_app.errors import EngineFailed, NotReady, Overloaded, ServeAppError
from serve_app.messages import Event, Request, Verdict

T = TypeVar("T")

ACCEPT_S = 1.0  # a replica that has not taken a request by then is not there


class RemoteGuard:
    """A pipeline InputGuard behind one hop."""

    def __init__(self, safety: DeploymentHandle) -> None:
        self._check = safety.options(method_name="check")

    async def check(self, request: Request) -> Verdict:
        with _own_errors("safety filter"):
            verdict: Verdict = await self._check.remote(request)
        return verdict


class RemoteGenerator:
    """A pipeline Generator whose tokens come from whichever replica Serve picks."""

    def __init__(self, model: DeploymentHandle) -> None:
        self._generate = model.options(method_name="generate", stream=True)
        self._spell = model.options(method_name="spell")
        self._tokens = model.options(method_name="tokens")
        self._pieces = model.options(method_name="pieces")
        self._about_tokens = model.options(method_name="about_tokens")

    def generate(self, request: Request) -> "RemoteEvents":
        """The request is on its way when this returns."""
        return RemoteEvents(self._generate.remote(request))

    async def spell(self, model: str, tokens: tuple[int, ...]) -> str:
        return await _answered(lambda: self._spell.remote(model, tokens))

    async def tokens(self, request: Request) -> tuple[int, ...]:
        return await _answered(lambda: self._tokens.remote(request))

    async def pieces(self, model: str, tokens: tuple[int, ...]) -> tuple[str, ...]:
        return await _answered(lambda: self._pieces.remote(model, tokens))

    async def about_tokens(self, model: str) -> Mapping[str, Any]:
        return await _answered(lambda: self._about_tokens.remote(model))


class RemoteEvents:
    """One answer from another process, with its errors raised as our own.

    The replica's first item is None: it has the request. Only from then on can Ray cancel it;
    what is given up earlier would go on for nobody.
    """

    def __init__(self, response: DeploymentResponseGenerator[Event | ServeAppError | None]) -> None:
        self._response = response
        self._accepted = asyncio.ensure_future(anext(response))
        self._release: asyncio.Task[None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        with _own_errors("model replica"):
            await asyncio.shield(self._accepted)
            event: Event | None = _raised(await anext(self._response))
        if event is None:
            raise EngineFailed("The model replica took the same request twice.")
        return event

    async def aclose(self) -> None:
        """Goes to its end also if the closer is cancelled meanwhile."""
        if self._release is None:
            self._release = asyncio.create_task(self._cancel())
        await asyncio.shield(self._release)

    async def _cancel(self) -> None:
        with suppress(TimeoutError, StopAsyncIteration, RayError, RayServeException):
            async with asyncio.timeout(ACCEPT_S):
                await asyncio.shield(self._accepted)
        self._response.cancel()
        self._accepted.cancel()


async def _answered(ask: Callable[[], Awaitable[T | ServeAppError]]) -> T:
    with _own_errors("model replica"):
        answer = await ask()
    return _raised(answer)


def _raised(answer: T | ServeAppError) -> T:
    """An answer from a replica, whose own errors come as values."""
    if isinstance(answer, ServeAppError):
        raise answer
    return answer


@contextmanager
def _own_errors(who: str) -> Iterator[None]:
    try:
        yield
    except BackPressureError as error:
        raise Overloaded(f"Every {who} is full; try again shortly.") from error
    except DeploymentUnavailableError as error:
        raise NotReady(f"No {who} is up; try again shortly.") from error
    except RayTaskError as error:
        raise EngineFailed(f"The {who} failed while it worked on this request.") from error
    except RayError as error:
        raise NotReady(f"The {who} was lost while it worked on this request.") from error
