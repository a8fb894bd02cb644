"""The loop: plan, begin, book, hand out. One thread, and a step always under way.

While a runner computes a step, the next one is planned and begun, so that it never waits for
Python; only then is the first one read and booked. Behind a long step that is done shortly before
its end, so that who comes meanwhile waits for that step alone; while there are documents to read,
when it is over. A runner that computes while it begins is read at once, and so is a step whose
tokens are here already.
"""

import sys
import threading
from collections import deque

from serve_app.engine.answers import Answers, failure
from serve_app.engine.batch import Batch
from serve_app.engine.draws import Draws
from serve_app.engine.flight import Flight, Runner, RunnerLost
from serve_app.engine.nap import Nap
from serve_app.engine.parcels import Parcel, post
from serve_app.engine.watch import Watch
from serve_app.telemetry import log

_AHEAD = 1  # steps that are begun before the one under way is read
_FAR_AHEAD = 2  # likewise where so many tokens are told at once that the host may be late
_MANY = 96  # rows of a step
_SWITCH_S = 0.0005  # Python's own 5 ms, for which a busy event loop keeps others off, are a step
_FAILURES = 8  # requests in a row that fail alone: it is not they who are broken


class Loop:
    """Owns the runner, the thread that drives it, and the steps under way."""

    def __init__(self, runner: Runner, answers: Answers, watch: Watch) -> None:
        self._runner = runner
        self._answers = answers
        self._watch = watch
        self._flights: deque[tuple[Batch, Flight]] = deque()  # oldest first
        self._nap = Nap()
        self._failures = 0  # since something was computed last
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        sys.setswitchinterval(_SWITCH_S)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of its last step."""
        self._thread.join()

    def _work(self) -> None:
        """Step until the answers are closed; however it ends, whoever is left is told."""
        try:
            while self._goes_on():
                self._step()
        except BaseException:  # noqa: BLE001 - nobody stands above a thread: this is its last word
            log().critical("engine_ended", exc_info=True)
        finally:
            self.end()

    def _goes_on(self) -> bool:
        """Sleep until there is work; whether there is."""
        if not self._flights:
            self._answers.wait()
        return not self._answers.is_closed

    def _step(self) -> None:
        """Begin a step, then book those before it."""
        batch, late = self._answers.plan()
        self._post(late)
        if batch:
            self._begin(batch)
        ahead = self._ahead(batch)
        while len(self._flights) > ahead:
            self._land()
        if self._flights and self._nap.suits(batch):
            self._nap.take(*self._flights[-1])

    def _ahead(self, batch: Batch) -> int:
        """Steps that may be left under way while the next one is planned."""
        landed = any(flight.landed for _, flight in self._flights)
        if not batch or landed or batch.is_drafted or batch.has_documents:
            return 0
        many = len(batch.decodes) >= _MANY and not self._nap.suits(batch)
        return _FAR_AHEAD if many else _AHEAD

    def _begin(self, batch: Batch) -> None:
        """Begin a step; if that fails, book what is under way and look for what broke it."""
        self._watch.begin()
        try:
            flight = self._runner.begin(batch)
        except RunnerLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever broke this step, the next one is sound
            self._watch.end()
            while self._flights:
                self._land()
            self._search(batch, error)
        else:
            self._flights.append((batch, flight))

    def _land(self) -> None:
        """Book the oldest step under way; if it fails, those behind it stand on nothing."""
        batch, flight = self._flights.popleft()
        try:
            draws = flight.draws()
        except Exception as error:  # noqa: BLE001 - as above
            self._watch.end()
            behind = self._drop_flights()
            for each in behind:
                self._answers.lose(each)
            self._search(batch, error)
            for each in behind:
                self._take(each)
        else:
            self._watch.end()
            self._nap.learn(batch, self._watch.last_s)
            self._book(batch, draws)

    def _drop_flights(self) -> list[Batch]:
        behind = [batch for batch, _ in self._flights]
        self._flights.clear()
        for _ in behind:
            self._watch.end()
        return behind

    def _take(self, planned: Batch) -> None:
        """Take a step by itself, for whoever still goes on."""
        batch = planned.held()
        if batch:
            self._begin(batch)
            while self._flights:
                self._land()

    def _search(self, batch: Batch, error: Exception) -> None:
        """Take the halves of a step that failed, until only what broke it is left to fail.

        Moving pages may have broken it: then all of it is taken once more without.
        """
        halves = (batch,) if batch.moves else batch.halves()
        told = error if batch.moves or not halves else None  # its halves will tell who is to blame
        log().error("step_failed", detail=f"{len(batch.rows)} in it", exc_info=told)
        self._answers.lose(batch)
        for half in halves:
            self._take(half)
        if not halves:
            self._post(self._answers.fail(batch.rows[0].sequence))
            self._failures += 1
            if self._failures >= _FAILURES:
                raise RuntimeError("Nothing can be computed any more.")

    def _book(self, batch: Batch, draws: Draws) -> None:
        self._failures = 0
        self._post(self._answers.book(batch, draws, self._watch.last_s))

    def end(self) -> None:
        """Tell whoever is left, then take back their pages: broken books leave nobody waiting.

        Also from outside, where the thread waits for a card that will never answer.
        """
        self._answers.close()
        left = self._answers.left()
        self._post([(answer, failure()) for answer in left])
        self._answers.abandon(left)

    def _post(self, parcels: list[Parcel]) -> None:
        post(parcels, self._answers.leave)
