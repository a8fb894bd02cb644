"""7. The processes of one replica's other ranks: begun, told each step, watched, ended.

Each holds its share of the model on a card of its own. They live no longer than this process, and
this engine no longer than they.
"""

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from serve_app import telemetry
from serve_app.errors import BadModel
from serve_app.settings import Settings
from serve_app.telemetry import log

if TYPE_CHECKING:
    from serve_app.engine.ranks import Ranks
    from serve_app.engine.ranks.meeting import Seat

Build = Callable[[Settings, int], Any]  # a rank's share of the model, on the current device

_LOAD, _READY = b"load", b"ready"
_ENDING_S = 10.0


def load_share(settings: Settings, rank: int) -> Any:
    """From the folder that the first rank has verified."""
    from serve_app.models import load

    return load.load_share(settings, rank)


class Followers:
    """Owns them, and the book in which all ranks find each other."""

    def __init__(self, settings: Settings, build: Build = load_share) -> None:
        """Begin them; they import what they need while the first rank verifies the model."""
        from serve_app.engine.ranks.meeting import Seat, host

        self._settings = settings
        self._book = host()
        ranks = settings.engine.tensor_parallel
        self._seats = [Seat(rank, ranks, self._book.port) for rank in range(ranks)]
        begun = [_begin(settings, seat, build) for seat in self._seats[1:]]
        self._processes = [process for process, _ in begun]
        self._lines = [line for _, line in begun]
        self._dismissed = threading.Event()
        self._on_loss: Callable[[], None] = _end_process
        self.is_lost = False

    def meet(self, model: Any) -> "Ranks":
        """Let them load, and return when all are here; raises BadModel if one cannot."""
        from serve_app.engine.ranks.meeting import meet

        self.tell(_LOAD)
        for process, line in zip(self._processes, self._lines, strict=True):
            if _heard(line, process.sentinel) != _READY:
                raise BadModel(
                    f"{process.name} could not load its share; see its lines in the log."
                )
        threading.Thread(target=self._guard, name="ranks", daemon=True).start()
        return meet(self._book, self._seats[0], model, self._settings.engine)

    def tell(self, message: bytes) -> None:
        """Raises OSError where one is not there any more."""
        for line in self._lines:
            line.send_bytes(message)

    def watch(self, on_loss: Callable[[], None]) -> None:
        """Until then a loss ends this process: a card may wait for one that is gone, for ever."""
        self._on_loss = on_loss

    def dismiss(self) -> None:
        """They end when nobody can tell them anything any more; asked twice, it waits again."""
        self._dismissed.set()
        for line in self._lines:
            line.close()
        for process in self._processes:
            process.join(_ENDING_S)
            process.kill()
            process.join()

    def _guard(self) -> None:
        connection.wait([process.sentinel for process in self._processes])
        if self._dismissed.is_set():
            return
        self.is_lost = True
        log().critical("rank_lost", detail="its replica cannot go on; see its own lines above")
        self._on_loss()


def _begin(settings: Settings, seat: "Seat", build: Build) -> tuple[Any, Connection]:
    """Spawned, not forked: this process may hold a card and threads already."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_follow,
        args=(settings, seat, build, theirs),
        name=f"rank {seat.rank}",
        daemon=True,
    )
    process.start()
    theirs.close()
    return process, ours


def _heard(line: Connection, ended: int) -> bytes:
    """Wait until a process says something; nothing if it never will."""
    connection.wait([line, ended])
    try:
        return line.recv_bytes() if line.poll() else b""
    except EOFError:
        return b""


def _end_process() -> None:
    os._exit(1)


def _follow(settings: Settings, seat: "Seat", build: Build, line: Connection) -> None:
    """What another rank's process does in its life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first rank says when it is over
    threading.Thread(target=_end_with_parent, daemon=True).start()
    telemetry.configure(settings.log)
    try:
        _obey(settings, seat, build, line)
    except EOFError:  # dismissed
        return
    except BaseException:  # noqa: BLE001 - nobody stands above: this is its last word
        log().critical("rank_failed", detail=f"rank {seat.rank}", exc_info=True)
        os._exit(1)


def _obey(settings: Settings, seat: "Seat", build: Build, line: Connection) -> None:
    from serve_app.engine.leading import Following
    from serve_app.engine.ranks import meeting
    from serve_app.engine.runners import runner_for

    book = meeting.visit(seat)
    meeting.take_card(seat, settings.model.device)
    line.recv_bytes()
    model = build(settings, seat.rank)
    line.send_bytes(_READY)
    ranks = meeting.meet(book, seat, model, settings.engine)
    following = Following(runner_for(model, settings.engine, ranks))
    while True:
        following.obey(line.recv_bytes())


def _end_with_parent() -> None:
    """Also where the main thread waits for a card that waits for the first rank's."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
