"""Going back, many times and from everywhere: what of it users notice, in numbers for a table."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from k8s.road.route import share_of
from k8s.road.spec import PROMOTED
from tests.cluster.roads import Road, until
from tests.cluster.stage import Stage
from tests.cluster.traffic import Answer, Traffic

PERMISSIVE = {"minRequests": 1, "slower": 1000, "lengthDrift": 1, "finishDrift": 1}
"""Gates are not what is tested here."""
STEPS = ("evaluate", "mirror", "canary-1", "canary-10", "canary-50")
MIDDLE_S = 1.0  # of a step: users are on it
LIMIT_S = 1.0  # from the write to the last new request on the bad version
STALL_S = 5.0  # an API server on two busy cores may stall once


def policy(step: str) -> dict[str, Any]:
    """By which a release is in that step as soon as it begins."""
    weight = int(step.removeprefix("canary-")) if step.startswith("canary-") else 50
    shares = sorted({weight, 50})
    return {
        "evaluate": {"required": False, "deadline": "10m"},
        "mirror": {"percent": 20 if step == "mirror" else 0, "duration": "1s", "deadline": "10m"},
        "canary": [{"weight": each, "duration": "1s", "deadline": "10m"} for each in shares],
        "gates": PERMISSIVE,
        "interval": "1s",
    }


@dataclass(frozen=True, slots=True)
class Rollback:
    """One of them; times are monotonic seconds."""

    where: str
    bad: str
    sent: float
    routed: float
    """When the route said so."""
    until: float
    """When the next release began."""

    def after(self, users: Traffic) -> list[Answer]:
        """New requests that met the bad version though it had been called back."""
        return [
            each
            for each in users.answers
            if each.version == self.bad and self.sent <= each.began < self.until
        ]

    def last_s(self, users: Traffic) -> float:
        """From the write to the last of them."""
        return max((each.began - self.sent for each in self.after(users)), default=0.0)

    def open_streams(self, users: Traffic) -> int:
        """On the bad version when it was called back."""
        return sum(
            each.kind == "stream"
            and each.version == self.bad
            and each.began < self.sent < each.ended
            for each in users.answers
        )


@contextmanager
def _timed(road: Road, stage: Stage, where: str, bad: str, to: str) -> Iterator[list[Rollback]]:
    """Go back; the block says when the next release may begin."""
    sent = stage.back(to)
    until(lambda: share_of(stage.api.route("glm"), to) == 1.0, f"everybody on {to}")
    routed = time.monotonic()
    road.until("RolledBack")
    done: list[Rollback] = []
    yield done
    done.append(Rollback(where, bad, sent, routed, time.monotonic()))


def from_steps(stage: Stage, road: Road, steps: Sequence[str]) -> Iterator[Rollback]:
    """Release v2 to each of those steps, and back to v1 in its middle."""
    for step in steps:
        road.wish(policy=policy(step), advanceTo=PROMOTED)
        stage.send("v2", advance_to=step)
        until(lambda step=step: stage.seen().status.step == step, step)  # type: ignore[misc]
        time.sleep(MIDDLE_S)
        with _timed(road, stage, step, "v2", "v1") as done:
            time.sleep(MIDDLE_S)
        yield from done


def from_promoted(stage: Stage, road: Road, bad: str, homes: Sequence[str]) -> Iterator[Rollback]:
    """Promote a version and go back to one that is kept, for each of them."""
    for home in homes:
        promote(stage, road, bad)
        time.sleep(MIDDLE_S)
        with _timed(road, stage, f"promoted, to {home}", bad, home) as done:
            time.sleep(MIDDLE_S)
        yield from done


def promote(stage: Stage, road: Road, version: str) -> None:
    """By one step with half of the users."""
    road.wish(policy=policy("canary-50"), advanceTo=PROMOTED)
    stage.send(version)
    until(lambda: stage.seen().status.stable == version, f"{version} promoted")


def are_quick_but_for_a_stall(seconds: Sequence[float]) -> bool:
    """All but one within the limit; the fifty of `test_release_ways.py` have no such grace."""
    *others, slowest = sorted(seconds)
    return slowest <= STALL_S and all(each <= LIMIT_S for each in others)


def table(done: Sequence[Rollback], users: Traffic) -> str:
    """Rows of the table in the documents: percentiles in milliseconds."""
    last = [each.last_s(users) for each in done]
    routed = [each.routed - each.sent for each in done]
    after = sum(len(each.after(users)) for each in done)
    streams = sum(each.open_streams(users) for each in done)
    return "\n".join(
        (
            f"{len(done)} rollbacks, {len(users.answers)} requests, {len(users.faults())} failed",
            f"{after} new ones met a bad version after the write, {streams} streams open there",
            _row("from the write to the route", routed),
            _row("from the write to the last new request on the bad version", last),
            *_slowest(done, users),
        )
    )


def _slowest(done: Sequence[Rollback], users: Traffic) -> Iterator[str]:
    """Where they were, for whoever looks for the cause."""
    for each in sorted(done, key=lambda each: each.last_s(users))[-5:]:
        yield (
            f"  number {done.index(each) + 1}, {each.where}: route after "
            f"{each.routed - each.sent:.2f} s, last request after {each.last_s(users):.2f} s"
        )


def _row(what: str, seconds: Sequence[float]) -> str:
    shares = quantiles(seconds, n=100, method="inclusive")
    told = (f"{1000 * each:.0f} ms" for each in (shares[49], shares[94], max(seconds)))
    return f"| {what} | {' | '.join(told)} |"
