"""The controller in a world in memory: what is written, in which order, and what survives."""

from dataclasses import replace
from typing import Any

import pytest

from k8s.errors import BadRoad, Unreachable
from k8s.ledger import verify
from k8s.road import Outcome, Pause, Phase, Policy
from k8s.road.spec import Evaluation, Mirror
from k8s.words import why
from tests.release.roads import digest_of, road_of
from tests.release.worlds import HEALTHY, SICK, Crash, Later, Town

STEPS = ("evaluate", "mirror", "canary-1", "canary-10", "canary-50")


@pytest.fixture
def town() -> Town:
    made = Town()
    made.settle()
    return made


def at(town: Town, step: str) -> Town:
    town.release("v2")
    town.look()
    if step != "evaluate":
        town.walk(until=step)
    assert town.world.resource.status.step == step
    return town


def test_a_new_road_gets_its_route(town: Town) -> None:
    assert town.world.shares == {"v1": 100}


def test_a_good_candidate_reaches_everybody_and_the_story_is_told_once(town: Town) -> None:
    town.release("v2")
    town.look()
    assert town.walk().phase is Phase.PROMOTED
    assert town.world.shares == {"v2": 100}
    assert list(town.world.told) == list(range(1, town.world.resource.status.transitions + 1))
    assert len(town.world.ledger) == town.world.resource.status.transitions
    verify(town.world.ledger)


def test_the_status_is_written_before_the_route(town: Town) -> None:
    town.world.writes.clear()
    at(town, "canary-1")
    first_route = town.world.writes.index("route")
    assert town.world.writes[first_route - 1] == "status"


@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_takes_one_look(town: Town, step: str) -> None:
    at(town, step).world.wish(rollback_to="v1")
    town.look()
    assert town.world.shares == {"v1": 100}


def test_a_sick_candidate_is_sent_home_by_its_numbers(town: Town) -> None:
    at(town, "canary-1").world.measured["v2"] = SICK
    assert town.walk().phase is Phase.ROLLED_BACK
    assert town.world.shares == {"v1": 100}
    assert "success-rate" in town.world.resource.status.message


def test_a_failed_evaluation_never_meets_a_user(town: Town) -> None:
    town.release("v2")
    town.evaluated("v2", Outcome.FAIL)
    town.look()
    assert town.walk().phase is Phase.ROLLED_BACK
    assert town.world.shares == {"v1": 100}


@pytest.mark.parametrize(
    "changed",
    [
        {"model_digest": "of another one"},
        {"attempt": 2},
        {"incumbent": "v5"},
        {"incumbent_digest": digest_of("v5")},
        {"verdicts": ()},
    ],
)
def test_a_report_on_anything_else_or_on_nothing_is_no_report(
    town: Town, changed: dict[str, Any]
) -> None:
    town.release("v2")
    town.world.evaluated["v2"] = replace(town.world.evaluated["v2"], **changed)
    town.look()
    assert town.look(after=100).step == "evaluate"
    assert "no report of this attempt" in town.world.resource.status.message
    assert town.walk().phase is Phase.ROLLED_BACK


def test_a_candidate_that_a_scorer_asks_is_not_held_to_what_users_ask(town: Town) -> None:
    town.world.wish(policy=Policy(mirror=Mirror(service="glm-scorer")))
    town.world.measured["v2"] = replace(HEALTHY, finished={"stop": 10.0, "length": 190.0})
    assert at(town, "mirror").walk(until="canary-1").step == "canary-1"
    town.look(after=2)
    assert town.walk().phase is Phase.ROLLED_BACK
    assert "finish-mix" in town.world.resource.status.message


def test_another_attempt_waits_for_a_report_of_its_own(town: Town) -> None:
    town.release("v2")
    town.evaluated("v2", Outcome.FAIL)
    town.look()
    hold = town.look(after=1).hold
    assert hold is not None
    town.world.wish(attempt=2, lift_hold=hold.id)
    town.look()
    assert town.look(after=100).step == "evaluate"
    town.evaluated("v2")
    town.walk()
    assert town.world.resource.status.phase is Phase.PROMOTED


def test_where_no_evaluation_is_required_none_is_waited_for(town: Town) -> None:
    town.world.wish(policy=Policy(evaluate=Evaluation(required=False)))
    town.release("v2")
    town.world.evaluated.clear()
    town.look()
    assert town.walk().phase is Phase.PROMOTED


def test_a_report_that_cannot_be_read_is_no_report_and_bars_no_way_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_version: str) -> None:
        raise BadRoad("the evaluation's report cannot be read")

    monkeypatch.setattr(town.world, "summary", unreadable)
    town.release("v2")
    town.look()
    assert town.look(after=100).step == "evaluate"
    town.world.wish(rollback_to="v1")
    assert town.look().phase is Phase.ROLLED_BACK


def test_pods_that_may_not_be_read_bar_no_way_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_version: str, _since: float) -> int:
        raise Unreachable("forbidden")

    at(town, "canary-10")
    monkeypatch.setattr(town.world, "restarts", forbidden)
    town.world.wish(rollback_to="v1")
    town.look()
    assert town.world.shares == {"v1": 100}


def dropped(town: Town, *versions: str) -> None:
    """As `helm rollback glm-road` writes it: the spec of before, without the version."""
    kept = tuple(each for each in town.world.resource.spec.versions if each.name in versions)
    town.world.wish(versions=kept, stable="v1", candidate=None)


def test_a_spec_that_drops_the_candidate_brings_its_users_home_and_ends_their_streams_there(
    town: Town,
) -> None:
    at(town, "canary-10")
    dropped(town, "v1")
    assert town.look().phase is Phase.ABORTED
    assert town.world.shares == {"v1": 100}
    backends = town.world.http_route["spec"]["rules"][0]["backendRefs"]
    assert [each["name"] for each in backends] == ["glm-v1", "glm-v2"]


@pytest.mark.parametrize(("ready", "everybody"), [(1, "v1"), (0, "v2")])
def test_a_spec_that_drops_the_stable_version_for_a_kept_one_goes_there_if_somebody_answers(
    town: Town, ready: int, everybody: str
) -> None:
    town.release("v2")
    town.walk()
    town.world.services["v1"] = ready
    dropped(town, "v1")
    town.look()
    assert town.world.shares == {everybody: 100}


def test_a_container_that_ends_under_users_sends_the_candidate_home(town: Town) -> None:
    town.world.restarted["v2"] = town.now  # before it had any
    at(town, "canary-1")
    assert town.look(after=11).step == "canary-1"
    town.world.restarted["v2"] = town.now
    town.start()  # who takes over sees it as well
    town.look(after=11)
    assert town.look(after=11).phase is Phase.ROLLED_BACK


def test_the_first_minutes_of_a_step_are_not_looked_at(town: Town) -> None:
    town.world.wish(policy=Policy(settle=120.0))
    at(town, "mirror").world.measured["v2"] = SICK
    for _ in range(10):
        assert town.look(after=11).step == "mirror"
    town.look(after=11)
    assert town.look(after=11).phase is Phase.ROLLED_BACK


def test_without_prometheus_nothing_goes_forward_and_the_deadline_ends_it(town: Town) -> None:
    at(town, "canary-1").world.broken.add("prometheus")
    town.look(after=700)
    assert town.look(after=700).step == "canary-1"
    assert town.walk().phase is Phase.ROLLED_BACK


def test_without_prometheus_the_way_back_is_open(town: Town) -> None:
    at(town, "canary-10").world.broken.add("prometheus")
    town.world.wish(rollback_to="v1")
    town.look()
    assert town.world.shares == {"v1": 100}


def test_while_the_api_server_is_gone_nothing_changes_and_after_it_all_goes_on(town: Town) -> None:
    at(town, "canary-1").world.broken.add("api")
    shares = town.world.shares
    town.look(after=1000)
    assert town.world.shares == shares
    town.world.broken.clear()
    assert town.walk().phase is Phase.PROMOTED


def test_a_ledger_that_cannot_be_reached_holds_up_no_route_and_is_filled_later(town: Town) -> None:
    at(town, "canary-1").world.broken.add("ledger")
    town.world.wish(rollback_to="v1")
    town.look()
    assert town.world.shares == {"v1": 100}
    town.world.broken.clear()
    town.settle()
    assert len(town.world.ledger) == town.world.resource.status.transitions
    verify(town.world.ledger)


def test_the_book_is_read_once_however_long_it_grows(town: Town) -> None:
    """A rollback would have to wait for that."""
    town.world.broken.add("book")
    at(town, "canary-1")
    assert town.walk().phase is Phase.PROMOTED
    assert len(town.world.ledger) == town.world.resource.status.transitions


def test_who_leads_again_goes_on_after_what_another_wrote(town: Town) -> None:
    first = at(town, "mirror").controller
    town.start()
    town.walk(until="canary-10")
    town.controller = first
    assert town.walk().phase is Phase.PROMOTED
    town.settle()
    assert len(town.world.ledger) == town.world.resource.status.transitions
    verify(town.world.ledger)


def test_a_road_made_anew_under_the_same_name_is_another_one(town: Town) -> None:
    """Nobody looks in between: the loop asks for no road that is not there."""
    at(town, "mirror")
    town.world.restarted["v2"] = town.now
    before = len(town.world.ledger)
    town.world.resource = replace(road_of(), uid="another", resource_version="anew")
    town.settle()
    at(town, "mirror")
    town.look(after=2)
    assert town.world.resource.status.step == "mirror"
    own = [each.body for each in town.world.ledger[before:]]
    assert [each["to"] for each in own] == ["Stable", "Evaluating", "Mirroring"]
    verify(town.world.ledger)


def test_a_route_that_somebody_edited_follows_the_road_again(town: Town) -> None:
    at(town, "canary-1")
    town.look()
    town.world.http_route["spec"]["rules"][0]["backendRefs"][0]["weight"] = 7
    town.look()
    assert town.world.shares == {"v1": 99, "v2": 1}
    assert town.world.notes == ["RouteRestored"]


def test_a_route_that_somebody_deleted_comes_back(town: Town) -> None:
    town.world.http_route = None
    town.look()
    assert town.world.shares == {"v1": 100}


def test_a_new_version_gets_its_pinned_rule_and_nobody_is_blamed(town: Town) -> None:
    del town.world.services["v5"]
    town.look()
    town.world.services["v5"] = 1
    town.look()
    assert town.world.notes == []
    pinned = [rule["backendRefs"][0]["name"] for rule in town.world.http_route["spec"]["rules"]]
    assert "glm-v5" in pinned


def test_why_says_that_no_gateway_has_taken_the_route(town: Town) -> None:
    town.look()
    road = town.world.resource
    assert "No traffic comes" in why(road, town.now)
    conditions = [{"type": "Accepted", "status": "True"}]
    town.world.http_route["status"] = {"parents": [{"conditions": conditions}]}
    town.look()
    assert "No traffic comes" not in why(town.world.resource, town.now)


def test_a_clock_set_forward_ends_no_step(town: Town) -> None:
    at(town, "canary-10").set_forward = 1_000_000.0
    assert town.look(after=2).step == "canary-10"


def test_an_answer_of_prometheus_to_an_earlier_step_is_thrown_away(town: Town) -> None:
    at(town, "mirror").world.measured["v2"] = SICK
    town.look(after=11)
    town.world.measured["v2"] = HEALTHY
    town.world.wish(rollback_to="v1")
    assert town.look().message.endswith("asked for v1")


@pytest.mark.parametrize("step", ["mirror", "canary-1", "canary-50"])
def test_under_a_persons_hold_a_sick_candidate_is_still_sent_home(town: Town, step: str) -> None:
    at(town, step).world.wish(hold=Pause(reason="lunch", by="li"))
    town.look(after=10_000)
    assert town.world.resource.status.step == step
    town.world.measured["v2"] = SICK
    town.look(after=60)
    assert town.look(after=60).phase is Phase.ROLLED_BACK
    assert town.world.shares == {"v1": 100}


def test_a_step_that_begins_anew_after_a_hold_is_not_judged_by_what_was_asked_before(
    town: Town,
) -> None:
    at(town, "canary-1").world.wish(hold=Pause(reason="lunch", by="li"))
    town.look(after=60)
    town.world.measured["v2"] = SICK
    town.executor = slow = Later()
    town.start()
    town.look(after=60)
    town.world.wish(hold=None)
    town.look()
    slow.work()
    assert town.look(after=1).step == "canary-1"


def test_the_gate_looks_no_further_back_than_the_step_though_the_clock_was_set(town: Town) -> None:
    at(town, "canary-10").look(after=20)
    town.world.windows.clear()
    town.set_forward = 7200.0
    town.look(after=60)
    assert town.world.windows == [pytest.approx(80.0)]


def test_at_rest_a_look_writes_nothing(town: Town) -> None:
    town.look(after=5)
    town.world.writes.clear()
    for _ in range(5):
        town.look(after=5)
    assert town.world.writes == []


@pytest.mark.parametrize("act", ["status-written", "route-written", "recorded"])
@pytest.mark.parametrize("phase", ["Evaluating", "Mirroring", "Canary", "Promoted"])
def test_a_controller_that_dies_in_a_good_release_is_taken_over(
    town: Town, phase: str, act: str
) -> None:
    deaths = []

    def fault(place: str) -> None:
        if place == f"{phase}:{act}":
            deaths.append(place)
            raise Crash

    town.release("v2")
    town.start(fault)
    for _ in range(60):
        try:
            status = town.look(after=301)
        except Crash:
            town.start(fault)  # comes back and may die again
        else:
            if status.phase is Phase.PROMOTED:
                break
    town.start()
    town.settle()
    assert deaths
    assert town.world.shares == {"v2": 100}
    assert len(town.world.ledger) == town.world.resource.status.transitions
    verify(town.world.ledger)


@pytest.mark.parametrize("act", ["status-written", "route-written", "recorded"])
@pytest.mark.parametrize("step", STEPS)
def test_a_controller_that_dies_on_the_way_back_leaves_nobody_behind(
    town: Town, step: str, act: str
) -> None:
    at(town, step)

    def fault(place: str) -> None:
        if place == f"RolledBack:{act}":
            raise Crash

    town.start(fault)
    town.world.wish(rollback_to="v1")
    with pytest.raises(Crash):
        town.look()
    town.start()
    town.settle()
    assert town.world.shares == {"v1": 100}
    assert town.world.resource.status.phase is Phase.ROLLED_BACK
