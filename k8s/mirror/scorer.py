"""Asks both versions a copied request and counts how alike their answers are.

The gateway shows a copy only the request, never the answer that the user got, so the stable version
is asked as well: both the same way, capped in tokens and time. Texts live in memory for as long as
one comparison takes; nothing of them is written, logged or kept, only numbers.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

import httpx
from prometheus_client import CollectorRegistry, Counter, Histogram

from k8s.mirror.copies import capped, kind_of, similarity, text_of
from k8s.road import Road
from k8s.road.route import PORT, service_of

_CHAT: Final = "/v1/chat/completions"
_PASSED_ON: Final = ("authorization", "x-tenant")
_TENTHS: Final = tuple(tenth / 20 for tenth in range(1, 21))
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Whose answers are compared."""

    stable: str
    candidate: str


def pair_of(roads: Iterable[Road | None]) -> Pair | None:
    """Of the road that sends copies; None where there is none, or nobody could tell of which."""
    pairs = [
        Pair(each.status.stable, each.status.candidate)
        for each in roads
        if each and each.status.mirror_percent and each.status.stable and each.status.candidate
    ]
    return pairs[0] if len(pairs) == 1 else None


class Numbers:
    """All that is left of a copy."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "glm_mirror_answers", "Of copied requests", ("version", "kind"), registry=self.registry
        )
        self.similarity = Histogram(
            "glm_mirror_similarity",
            "chrF of the candidate's answer against the stable version's",
            ("version",),
            buckets=_TENTHS,
            registry=self.registry,
        )
        self.dropped = Counter(
            "glm_mirror_dropped", "Copies not asked, by reason", ("reason",), registry=self.registry
        )


class Scorer:
    """Takes copies as they come, as many at once as allowed; the rest is dropped and counted."""

    def __init__(
        self,
        client: httpx.Client,
        pair: Callable[[], Pair | None],
        executor: Executor,
        *,
        at_once: int = 4,
        max_tokens: int = 128,
    ) -> None:
        self.numbers = Numbers()
        self._client = client
        self._pair = pair
        self._executor = executor
        self._places = threading.Semaphore(at_once)
        self._max_tokens = max_tokens

    def take(self, body: Any, headers: Mapping[str, str]) -> None:
        """Returns at once; a user waits for none of this."""
        asked, pair = capped(body, self._max_tokens), self._pair()
        if asked is None or pair is None:
            self.numbers.dropped.labels("no chat" if asked is None else "no candidate").inc()
            return
        if not self._places.acquire(blocking=False):
            self.numbers.dropped.labels("busy").inc()
            return
        kept = {name: headers[name] for name in _PASSED_ON if name in headers}
        self._executor.submit(self._compare, pair, asked, kept)

    def _compare(self, pair: Pair, asked: dict[str, Any], headers: Mapping[str, str]) -> None:
        try:
            theirs = self._ask(pair.stable, asked, headers)
            mine = self._ask(pair.candidate, asked, headers)
            for version, text in ((pair.stable, theirs), (pair.candidate, mine)):
                self.numbers.answers.labels(version, kind_of(text)).inc()
            if theirs is not None:
                alike = similarity(mine, theirs)
                self.numbers.similarity.labels(pair.candidate).observe(alike)
        finally:
            self._places.release()

    def _ask(self, version: str, asked: dict[str, Any], headers: Mapping[str, str]) -> str | None:
        """At its Service, past the gateway, which would copy it again."""
        address = f"http://{service_of(version)}:{PORT}{_CHAT}"
        try:
            response = self._client.post(
                address, json=asked, headers=dict(headers), timeout=_TIMEOUT_S
            )
            response.raise_for_status()
            return text_of(response.json())
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
            return None
