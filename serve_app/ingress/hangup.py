"""Work that ends early: when the caller hangs up, or when the promised time is over."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from serve_app.errors import DeadlineExceeded


@asynccontextmanager
async def attended(receive: Receive) -> AsyncGenerator[None]:
    """Cancel the block the moment the caller hangs up; raises ClientDisconnect then.

    The body must have been read: from here on `receive` has nothing else to say.
    """
    try:
        async with asyncio.timeout(None) as attention:
            watch = asyncio.create_task(_wait_for_hangup(receive, attention))
            try:
                yield
            finally:
                watch.cancel()
    except TimeoutError:
        if attention.expired():
            raise ClientDisconnect from None
        raise


@asynccontextmanager
async def within(limit_s: float) -> AsyncGenerator[None]:
    """Cancel the block after `limit_s` seconds; raises DeadlineExceeded then."""
    try:
        async with asyncio.timeout(limit_s) as promise:
            yield
    except TimeoutError:
        if promise.expired():
            raise DeadlineExceeded(
                f"The answer was not complete after {limit_s:g} seconds; ask for fewer tokens."
            ) from None
        raise


async def _wait_for_hangup(receive: Receive, attention: asyncio.Timeout) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    with suppress(RuntimeError):  # the block has just ended by itself
        attention.reschedule(asyncio.get_running_loop().time())
