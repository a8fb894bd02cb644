"""7. The other deployments as the ingress sees them: handles in the shape of the corridor's doors.

What Ray raises is translated here and nowhere else.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from serve_app.errors import EngineFailed, NotReady, Overloaded, ServeAppError
from serve_app.messages import ChatRequest, Event, Verdict


class RemoteGuard:
    """A pipeline InputGuard behind one hop."""

    def __init__(self, safety: DeploymentHandle) -> None:
        self._check = safety.options(method_name="check")

    async def check(self, request: ChatRequest) -> Verdict:
        with _own_errors("safety filter"):
            verdict: Verdict = await self._check.remote(request)
        return verdict


class RemoteGenerator:
    """A pipeline Generator whose tokens come from whichever replica Serve picks."""

    def __init__(self, model: DeploymentHandle) -> None:
        self._generate = model.options(method_name="generate", stream=True)

    def generate(self, request: ChatRequest) -> "RemoteEvents":
        """The request is on its way when this returns."""
        return RemoteEvents(self._generate.remote(request))


class RemoteEvents:
    """One answer from another process, with its errors raised as our own.

    The first event is asked for at once: Ray can only cancel what has been asked for.
    """

    def __init__(self, response: DeploymentResponseGenerator[Event | ServeAppError]) -> None:
        self._response = response
        self._first: asyncio.Future[Event | ServeAppError] | None = asyncio.ensure_future(
            anext(response)
        )

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        coming, self._first = self._first or anext(self._response), None
        with _own_errors("model replica"):
            event = await coming
        if isinstance(event, ServeAppError):
            raise event
        return event

    async def aclose(self) -> None:
        self._response.cancel()
        if self._first is not None:
            self._first.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, RayError):
                await self._first


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
