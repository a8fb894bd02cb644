"""The controller's life: lead, look at every road, wait for a change or the next tick."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Protocol

from k8s.controller import Controller
from k8s.errors import BadRoad, Conflict, ReleaseError, Unreachable
from k8s.exposition import Metrics
from k8s.lease import Candidacy, Claim
from k8s.road.wire import time_of

TICK_S: Final = 2.0
_ASLEEP_S: Final = 60.0  # without a tick for so long the loop stands still
_BETWEEN_WATCHES_S: Final = 0.5  # from one's begin to the next; refused ones follow no faster
_LEASE: Final = "glm-road-controller"

_log = logging.getLogger("glm.road")


class Post(Protocol):
    """What the loop needs of a cluster."""

    def road_names(self) -> Sequence[str]: ...

    def claim(self, name: str) -> Claim | None: ...

    def write_claim(self, name: str, claim: Claim, duration_s: float) -> None: ...

    def has_ended(self, holder: str) -> bool:
        """Whether a pod was alive and is so no more; of what is no pod nothing is known."""

    def changes(self) -> Iterator[None]: ...


class Loop:
    """Runs until `stop`; whoever loses the lease looks on and waits."""

    def __init__(
        self,
        post: Post,
        controller: Controller,
        candidacy: Candidacy,
        metrics: Metrics,
        wake: threading.Event,
    ) -> None:
        self._post = post
        self._controller = controller
        self._candidacy = candidacy
        self._metrics = metrics
        self._wake = wake
        self._stopping = threading.Event()
        self._ticked_at = time.monotonic()
        self._threads: tuple[threading.Thread, ...] = ()

    def run(self) -> None:
        """Look until told to stop, then hand the lease over."""
        keeper = self._begun(self._keep_lease)
        self._threads = keeper, self._begun(self._watch)
        while not self._stopping.is_set():
            self._wake.clear()
            self.tick()
            self._ticked_at = time.monotonic()
            self._wake.wait(TICK_S)
        keeper.join()  # or it would take back what is handed over
        self._hand_over()

    def _begun(self, task: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=task, name=task.__name__, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        """End after the look under way."""
        self._stopping.set()
        self._wake.set()

    def alive(self) -> bool:
        ticks = time.monotonic() - self._ticked_at < _ASLEEP_S
        return ticks and all(each.is_alive() for each in self._threads)

    def tick(self) -> None:
        """One look at every road, by the leader alone."""
        self._metrics.leads.set(self._candidacy.leads())
        if not self._candidacy.leads():
            self._metrics.forget()
            return
        try:
            names = self._post.road_names()
        except ReleaseError as error:
            self._failed("", error)
            return
        for name in names:
            self._look(name)

    def _look(self, name: str) -> None:
        try:
            with self._metrics.looks.labels(name).time():
                road = self._controller.reconcile(name)
        except Conflict:
            self._wake.set()  # somebody wrote meanwhile: look again at once
        except ReleaseError as error:
            self._failed(name, error)
        except Exception as error:  # noqa: BLE001 -- one road's must not stop the others
            self._metrics.errors.labels(name, type(error).__name__).inc()
            _log.exception("%s: a fault of this controller", name)
        else:
            self._metrics.show(name, road)

    def _failed(self, name: str, error: ReleaseError) -> None:
        """Told and counted; the next tick tries again."""
        self._metrics.errors.labels(name, type(error).__name__).inc()
        level = logging.ERROR if isinstance(error, BadRoad) else logging.WARNING
        _log.log(level, "%s: %s", name or "roads", error.message)

    def _keep_lease(self) -> None:
        while not self._stopping.is_set():
            try:
                self.renew()
            except (Conflict, Unreachable) as error:
                _log.warning("lease: %s", error.message)
            except ReleaseError as error:
                _log.error("lease: %s", error.message)
            self._stopping.wait(self._candidacy.look_again_s)

    def renew(self) -> None:
        """Take, keep or wait for the lease."""
        led, asked_at = self._candidacy.leads(), time.monotonic()
        standing = self._post.claim(_LEASE)
        holder = standing.holder if standing else ""
        ended = holder not in {"", self._candidacy.identity} and self._post.has_ended(holder)
        claim = self._candidacy.claim(standing, _micro_time(), ended=ended)
        if claim is not None:
            self._post.write_claim(_LEASE, claim, self._candidacy.duration_s)
            self._candidacy.won(asked_at)
        if led != self._candidacy.leads():
            _log.info("%s %s", self._candidacy.identity, "waits" if led else "leads")
            self._wake.set()

    def _watch(self) -> None:
        """Wake the loop at every change; the ticks stand in where a watch breaks off.

        A watch that has come to its end is followed at once by the next one.
        """
        while not self._stopping.is_set():
            began = time.monotonic()
            with suppress(ReleaseError):
                for _ in self._post.changes():
                    self._wake.set()
            self._stopping.wait(began + _BETWEEN_WATCHES_S - time.monotonic())

    def _hand_over(self) -> None:
        """So that the next one need not wait for the lease to run out."""
        if not self._candidacy.leads():
            return
        try:
            standing = self._post.claim(_LEASE)
            if standing is not None and standing.holder == self._candidacy.identity:
                left = replace(self._candidacy.resign(standing), renewed=_micro_time())
                self._post.write_claim(_LEASE, left, self._candidacy.duration_s)
        except ReleaseError as error:
            _log.warning("lease: %s", error.message)


def _micro_time() -> str:
    """A Lease wants microseconds."""
    return time_of(time.time())[:-1] + "000Z"
