"""SIGINT and SIGTERM: when they interrupt, when they wait, when they are nothing."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
FATAL = 128  # plus the signal's number: what a shell reports for a process that it ended
GLANCE_S = 1.0  # between two looks at what may end

_noted = threading.Event()


def interrupt() -> None:
    """Both raise KeyboardInterrupt here, and end a child that is not yet its own program."""
    here = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if os.getpid() != here:  # forked, not yet exec'd: an exception would print a traceback
            os._exit(FATAL + number)
        raise KeyboardInterrupt

    for number in SIGNALS:
        signal.signal(number, handle)


def note(*_: object) -> None:
    """One has come, for `wait` to return at once; the next one interrupts."""
    _noted.set()
    interrupt()


def heed() -> None:
    """From now on the first one is noted."""
    for number in SIGNALS:
        signal.signal(number, note)


def wait(ended: Callable[[], bool] = lambda: False) -> None:
    """Return at the first one, or when it has `ended`; the next one interrupts."""
    if not _noted.is_set():
        heed()
    while not _noted.wait(GLANCE_S) and not ended():
        pass
    _noted.clear()
    interrupt()


@contextmanager
def cancelling() -> Iterator[None]:
    """In a coroutine both cancel its task: raised amid an event loop they harm other tasks."""
    loop = asyncio.get_running_loop()
    if (task := asyncio.current_task()) is None:
        raise RuntimeError("not in a task")
    for number in SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
        interrupt()


@contextmanager
def put_off() -> Iterator[None]:
    """Let both wait until the block has ended: amid imports KeyboardInterrupt may be swallowed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def held_off() -> Iterator[None]:
    """Ignore both, for clearing away, which must come to its end and does so in seconds."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
