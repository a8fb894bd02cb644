"""From the engine's thread to the readers' event loops."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

from serve_app.engine.answer import Answer
from serve_app.errors import ServeAppError
from serve_app.messages import Event

Parcel = tuple[Answer, Event | ServeAppError]


def post(parcels: Iterable[Parcel], forget: Callable[[Answer], None]) -> None:
    """Wake each event loop once, however many of its readers have news; forget who has none."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[Parcel]] = defaultdict(list)
    for parcel in parcels:
        by_loop[parcel[0].loop].append(parcel)
    for loop, its in by_loop.items():
        try:
            loop.call_soon_threadsafe(_deliver, its)
        except RuntimeError:  # the loop has closed: nobody reads any more
            for answer, _ in its:
                forget(answer)


def _deliver(parcels: Iterable[Parcel]) -> None:
    for answer, item in parcels:
        if isinstance(item, ServeAppError):
            answer.outbox.fail(item)
        else:
            answer.outbox.put(item)
