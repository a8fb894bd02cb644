"""A step that waits for a person, under users: it stands, goes on when told to, or goes home."""

import time
from typing import Any

import pytest

from k8s.road import Phase
from tests.cluster import candidates, rollbacks, traffic
from tests.cluster.journeys import RATE, is_share, shares
from tests.cluster.roads import until
from tests.cluster.stage import Stage, marked, note

pytestmark = pytest.mark.timeout(1200)

HELD, FREE = 10, 50  # shares of users at the step with a hold, and at the one after it
STEP = f"canary-{HELD}"
STANDS_S = 30.0  # the time of its step is long over


@pytest.fixture(autouse=True)
def _versions(stage: Stage) -> None:
    stage.only(v1=candidates.small, v2=candidates.good)


def policy(deadline: str) -> dict[str, Any]:
    held = {"weight": HELD, "duration": "1s", "deadline": deadline, "hold": True}
    free = {"weight": FREE, "duration": "5s", "deadline": "5m"}
    return rollbacks.policy(STEP) | {"canary": [held, free]}


def awaits_leave(stage: Stage) -> bool:
    return f"kubectl glm resume --hold {STEP}" in stage.seen().status.message


def test_a_held_step_stands_until_somebody_says_its_name_and_then_reaches_everybody(
    stage: Stage, door: str
) -> None:
    road = stage.lay(door, **policy("10m"))
    with (
        traffic.flowing(door, rate=RATE, streams=2, tokens=300) as users,
        marked(stage.api, "v2") as marks,
    ):
        stage.send("v2")
        until(lambda: awaits_leave(stage), "the hold")
        time.sleep(STANDS_S)
        assert (stage.seen().status.step, marks[-1].share) == (STEP, HELD / 100)
        refused, told = road.glm("resume"), road.glm("resume", "--hold", STEP)
        began = time.monotonic()
        assert (refused.returncode, told.returncode) == (1, 0), refused.stdout + told.stderr
        waited = road.glm("wait", "promoted", "--version", "v2", "--timeout", "300")
        assert waited.returncode == 0, waited.stdout + waited.stderr
        until(lambda: marks[-1].share == 1, "everybody on v2")

    met = list(shares(users.answers, marks, "v2"))
    grown_s = next(mark.at for mark in marks if mark.share == FREE / 100) - began
    note(
        f"hold of {STEP}: stood {STANDS_S:.0f} s, {FREE} % {grown_s:.1f} s after the word; "
        f"{len(users.answers)} requests, {len(users.faults())} failed; {met}"
    )
    assert users.faults() == []
    assert [mark.share for mark in marks[:-1]] == [0, HELD / 100, FREE / 100, 1]
    assert all(is_share(hits, asked, share) for share, hits, asked in met), met
    assert "let it go on" in road.glm("history").stdout


def test_a_held_step_that_nobody_lets_go_on_goes_home_at_its_deadline(
    stage: Stage, door: str
) -> None:
    road = stage.lay(door, **policy("60s"))
    with traffic.flowing(door, rate=RATE, streams=2, tokens=300) as users:
        stage.send("v2")
        until(lambda: awaits_leave(stage), "the hold")
        until(lambda: stage.seen().status.phase is Phase.ROLLED_BACK, "the way home")
        until(lambda: road.shares == {"glm-v1": 100}, "v1 on the route")

    note(f"hold of {STEP} that nobody lifted: {stage.seen().status.history[-1].message}")
    assert stage.seen().status.history[-1].event == "DeadlineExceeded"
    assert users.faults() == []
