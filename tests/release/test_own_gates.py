"""Steps that ask otherwise than the road does, and steps that wait for a person."""

from dataclasses import fields, replace

import pytest

from k8s import waiting, wishes
from k8s.errors import Refused
from k8s.gates import GATES, HELD_TO, judge
from k8s.phases import plan_of, thresholds_of
from k8s.road import (
    CanaryStep,
    Leave,
    Mirror,
    Phase,
    Policy,
    StepGates,
    Thresholds,
    parse,
)
from k8s.road.resource import render_spec
from k8s.words import why
from tests.release.roads import FAILED, PASSED, WAITED, Walk
from tests.release.test_gates import facts
from tests.release.worlds import SICK, Town

STRICT = Policy(
    mirror=Mirror(percent=0),
    canary=(
        CanaryStep(weight=1, gates=StepGates(success_rate=0.0, finish_drift=1.0)),
        CanaryStep(weight=10),
    ),
)
HELD = Policy(canary=(CanaryStep(weight=1, hold=True), CanaryStep(weight=10)))


def test_a_step_may_set_whatever_the_road_sets() -> None:
    assert [each.name for each in fields(StepGates)] == [each.name for each in fields(Thresholds)]


def test_every_threshold_but_the_chance_of_error_is_some_checks() -> None:
    known = {each.name for each in fields(Thresholds)}
    judged = {each.check for phase in GATES for each in judge(phase, facts())}
    assert {*HELD_TO.values()} == known - {"alpha"}
    assert judged - HELD_TO.keys() == {"ready", "evaluated", "restarts"}
    assert HELD_TO.keys() <= judged


def test_a_step_wins_field_by_field_and_only_in_its_own_time() -> None:
    road = Thresholds(slower=1.1, empty_rate=0.3)
    policy = replace(STRICT, gates=road)
    _, first, second = plan_of(policy)
    own = thresholds_of(policy, first)
    assert own == replace(road, success_rate=0.0, finish_drift=1.0)
    assert thresholds_of(policy, second) == road


def test_a_candidate_that_one_step_allows_is_refused_by_the_next() -> None:
    town = Town()
    town.world.wish(policy=STRICT)
    town.settle()
    town.release("v2")
    town.world.measured["v2"] = SICK
    town.look()
    town.walk(until="canary-10")
    assert town.world.resource.status.step == "canary-10"
    assert town.walk().phase is Phase.ROLLED_BACK
    assert "success-rate" in town.world.resource.status.message


def test_a_verdict_is_told_with_the_threshold_behind_it_and_whose_it_is() -> None:
    walk = Walk(policy=STRICT).to("canary-1")
    walk.look(WAITED)
    assert "samples: 3 of 100 requests; minRequests 100 of the road" in why(walk.road, walk.now)
    walk.look(FAILED)
    assert "80 % succeeded; successRate 0 of canary-1" in why(walk.road, walk.now)


def test_what_a_step_asks_is_read_as_it_was_written() -> None:
    spec = replace(Walk().road.spec, policy=STRICT, leave=Leave(version="v2", attempt=1, step="x"))
    resource = {"metadata": {"name": "glm", "namespace": "models"}, "spec": render_spec(spec)}
    first, second = resource["spec"]["policy"]["canary"]
    assert first["gates"] == {"successRate": 0.0, "finishDrift": 1.0}
    assert "gates" not in second
    assert parse(resource).spec == spec


def test_a_step_with_a_hold_waits_for_a_person_until_its_deadline() -> None:
    walk = Walk(policy=HELD).to("canary-1")
    walk.look(PASSED, after=700)
    assert walk.status.step == "canary-1"
    assert "kubectl glm resume --hold canary-1" in walk.status.message
    assert waiting.has_passed(walk.road, "v2", "canary-1"), "a pipeline's job is done"
    walk.look(PASSED, after=3600)
    assert walk.status.phase is Phase.ROLLED_BACK


def test_who_gives_leave_is_told_by_the_ledger() -> None:
    walk = Walk(policy=HELD).to("canary-1")
    walk.look(PASSED, after=700)
    wish = wishes.resume(walk.road, "canary-1", "li")
    assert wish["leave"] == {"version": "v2", "attempt": 1, "step": "canary-1", "by": "li"}
    walk.wish(leave=Leave(**wish["leave"])).look(PASSED)
    assert walk.status.step == "canary-10"
    assert walk.status.history[-1].message == "canary-1 passed, li let it go on; canary-10 begins"


def test_leave_is_given_to_a_step_that_has_passed_and_by_its_name() -> None:
    walk = Walk(policy=HELD).to("canary-1")
    walk.look(WAITED)
    with pytest.raises(Refused, match="canary-1 is not over yet"):
        wishes.resume(walk.road, "canary-1", "li")
    walk.look(PASSED, after=700)
    with pytest.raises(Refused, match="resume --hold canary-1"):
        wishes.resume(walk.road)


@pytest.mark.parametrize(
    "stale",
    [
        Leave(version="v3", attempt=1, step="canary-1"),
        Leave(version="v2", attempt=2, step="canary-1"),
        Leave(version="v2", attempt=1, step="canary-10"),
    ],
)
def test_leave_is_good_for_one_step_of_one_candidate_once(stale: Leave) -> None:
    walk = Walk(policy=HELD, leave=stale).to("canary-1")
    walk.look(PASSED, after=700)
    assert walk.status.step == "canary-1"


def test_leave_lets_nobody_past_a_gate_or_a_ceiling() -> None:
    leave = Leave(version="v2", attempt=1, step="canary-1")
    walk = Walk(policy=HELD, leave=leave, advance_to="canary-1").to("canary-1")
    walk.look(PASSED, after=700)
    assert walk.status.step == "canary-1"
    walk.wish(advance_to="promoted").look(FAILED)
    assert walk.status.phase is Phase.ROLLED_BACK
