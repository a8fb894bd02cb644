"""Releases under users: begun, followed, counted."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import httpx
from scipy import stats

from k8s.road import Outcome
from k8s.road.pins import VERSION_HEADER
from tests.cluster.roads import Road, until
from tests.cluster.stage import Mark, Stage
from tests.cluster.traffic import Answer

RATE = 8.0  # requests a second; each answer takes some ten tokens
CHANCE = 1e-6  # that a share which is right is called wrong
EDGE_S = 1.0  # around a change of shares, in which it is on its way to the gateway
POLICY: dict[str, Any] = {
    "evaluate": {"required": True, "deadline": "5m"},
    "mirror": {"percent": 20, "duration": "10s", "deadline": "3m"},
    "canary": [
        {"weight": 1, "duration": "20s", "deadline": "5m"},
        {"weight": 10, "duration": "10s", "deadline": "3m"},
        {"weight": 50, "duration": "10s", "deadline": "3m"},
    ],
    # Two cores for everything: what waits for them says little.
    "gates": {"minRequests": 3, "slower": 4},
    "interval": "1s",
}
# One user in a hundred is one request in twelve seconds. Among so few, a single answer that waited
# for a busy core, or three short ones, are unlike the stable version's for minutes.
_FEW = {"slower": 100, "lengthDrift": 1, "finishDrift": 1}
GENTLE: dict[str, Any] = POLICY | {
    "evaluate": {"required": True, "deadline": "10m"},
    "canary": [POLICY["canary"][0] | {"gates": _FEW}, *POLICY["canary"][1:]],
    "gates": POLICY["gates"] | {"slower": 10},
}
"""For a good candidate on a busy machine; bad ones are held to `POLICY`."""
UNEVALUATED = {"required": False, "deadline": "5m"}
UNMIRRORED = {"percent": 0}


def evaluate(stage: Stage, road: Road, url: str, version: str, digest: str) -> tuple[int, str]:
    """Against v1, once the gateway leads to both; exit code, and what was told."""
    until(lambda: leads(url, version), f"the gateway leads to {version}")
    done = road.glm(
        *("evaluate", version, "--against", "v1", "--url", url, "--digest", digest),
        *("--record", "--out", str(stage.folder / version)),
    )
    return done.returncode, done.stdout + done.stderr


def leads(url: str, version: str) -> bool:
    """Whether who asks for that version gets it."""
    asked = {VERSION_HEADER: version}
    with suppress(httpx.HTTPError):
        answer = httpx.get(f"{url}/v1/models", headers=asked, timeout=5, trust_env=False)
        return bool(answer.headers.get(VERSION_HEADER) == version)
    return False


def send(stage: Stage, version: str, digest: str = "") -> None:
    """Bring it on its way; `digest` is its model's."""
    stage.send(version, digest=digest)
    until(lambda: stage.seen().status.candidate == version, f"{version} on its way")


def failed_checks(stage: Stage, version: str) -> list[str]:
    """By which it is sent home."""
    until(lambda: not stage.seen().status.under_way, f"the end of {version}", 300)
    status = stage.seen().status
    return [each.check for each in status.verdicts if each.outcome is Outcome.FAIL]


def shares(
    answers: Sequence[Answer], marks: Sequence[Mark], version: str
) -> Iterator[tuple[float, int, int]]:
    """Of every step: its share, answers of the version, answers in all."""
    for mark, following in pairwise(marks):
        first, last = mark.at + EDGE_S, following.at - EDGE_S
        within = [each.version for each in answers if first <= each.began <= last]
        if within:
            yield mark.share, within.count(version), len(within)


def is_share(met: int, asked: int, share: float) -> bool:
    """Whether so many may be chance, by the exact binomial test."""
    return bool(stats.binomtest(met, asked, share).pvalue > CHANCE)


def is_at_most(met: int, asked: int, share: float) -> bool:
    return bool(stats.binomtest(met, asked, share, "greater").pvalue > CHANCE)
