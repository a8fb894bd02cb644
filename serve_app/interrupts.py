"""SIGINT and SIGTERM: one interruption at a time, and none while things are cleared away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def interrupt_once() -> None:
    """The next one raises KeyboardInterrupt, the ones after it nothing.

    A shell may have set SIGINT to be ignored, and Ray takes SIGTERM for itself.
    """
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def wait() -> None:
    """Return at the first one; the next one interrupts."""
    stop = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    interrupt_once()


@contextmanager
def held_off() -> Iterator[None]:
    """Ignore both, for work that must come to its end and does so in seconds."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
