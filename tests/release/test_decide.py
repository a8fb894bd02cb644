"""What a road does next."""

from dataclasses import replace

import pytest

from k8s.decide import decide
from k8s.road import Mirror, Pause, Phase, Policy, Role
from k8s.rules import Observed
from k8s.words import why
from tests.release.roads import FAILED, PASSED, WAITED, Walk

STEPS = ("evaluate", "mirror", "canary-1", "canary-10", "canary-50")


def shares(walk: Walk) -> dict[str, int]:
    return {each.version: each.weight for each in walk.status.weights}


def test_a_new_road_gives_everything_to_the_stable_version_of_its_spec() -> None:
    walk = Walk()
    assert walk.look().phase is Phase.STABLE
    assert shares(walk) == {"v1": 100}


def test_a_new_road_waits_for_the_service_of_its_stable_version() -> None:
    walk = Walk()
    walk.ready = {}
    assert walk.look().stable is None
    assert not walk.status.weights


def test_a_good_candidate_goes_from_its_name_to_all_users() -> None:
    walk = Walk()
    walk.look()
    walk.wish(candidate="v2")
    seen = []
    walk.look()
    while walk.status.under_way:
        seen.append((walk.status.step, walk.status.weight("v2"), walk.status.mirror_percent))
        walk.look(PASSED, after=1000)
    assert seen == [
        ("evaluate", 0, 0),
        ("mirror", 0, 5),
        ("canary-1", 1, 0),
        ("canary-10", 10, 0),
        ("canary-50", 50, 0),
    ]
    assert walk.status.phase is Phase.PROMOTED
    assert shares(walk) == {"v2": 100}
    assert [each.version for each in walk.status.stables] == ["v2", "v1"]


def test_a_step_lasts_its_time_though_all_checks_pass() -> None:
    walk = Walk().to("canary-1")
    walk.look(PASSED, after=599)
    assert walk.status.step == "canary-1"
    walk.look(PASSED, after=1)
    assert walk.status.step == "canary-10"


def test_no_verdict_moves_nothing() -> None:
    walk = Walk().to("canary-1")
    walk.look(None, after=1000)
    walk.look((), after=1000)
    assert walk.status.step == "canary-1"


@pytest.mark.parametrize("step", STEPS)
def test_a_failed_gate_sends_everything_home_from_every_step(step: str) -> None:
    walk = Walk().to(step)
    walk.look(FAILED)
    assert walk.status.phase is Phase.ROLLED_BACK
    assert shares(walk) == {"v1": 100}
    assert "success-rate" in walk.status.message


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_cannot_tell_ends_at_its_deadline(step: str) -> None:
    walk = Walk().to(step)
    walk.look(WAITED, after=3599)
    assert walk.status.step == step
    walk.look(WAITED, after=1)
    assert walk.status.phase is Phase.ROLLED_BACK
    assert walk.status.mirror_percent == 0


@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_wins_over_a_passed_gate_in_every_step(step: str) -> None:
    walk = Walk().to(step)
    walk.wish(rollback_to="v1").look(PASSED, after=1000)
    assert walk.status.phase is Phase.ROLLED_BACK
    assert shares(walk) == {"v1": 100}


@pytest.mark.parametrize("target", ["v1", "v2", "v3"])
def test_users_go_back_to_any_of_three_kept_versions_at_once(target: str) -> None:
    walk = Walk()
    walk.look()
    for version in ("v2", "v3", "v4"):
        walk.promoted(version)
    walk.wish(rollback_to=target).look()
    assert shares(walk) == {target: 100}
    assert "v4" not in [each.version for each in walk.status.stables]


def test_a_version_that_was_left_is_not_tried_again_by_itself() -> None:
    walk = Walk().to("canary-50")
    walk.look(PASSED, after=1000)
    walk.wish(rollback_to="v1").look()
    walk.wish(rollback_to=None, lift_hold=walk.status.hold.id).look()
    walk.look(PASSED, after=1000)
    assert shares(walk) == {"v1": 100}
    walk.wish(attempt=2).look()
    assert walk.status.phase is Phase.EVALUATING


def test_a_spec_that_ends_at_a_kept_version_is_a_rollback() -> None:
    """This is what `helm rollback glm-road` leaves behind."""
    walk = Walk().to("canary-50")
    walk.look(PASSED, after=1000)
    walk.wish(candidate=None).look()
    assert walk.status.phase is Phase.ROLLED_BACK
    assert shares(walk) == {"v1": 100}


def test_a_withdrawn_candidate_is_aborted() -> None:
    walk = Walk().to("canary-10")
    walk.wish(candidate=None).look(PASSED, after=1000)
    assert walk.status.phase is Phase.ABORTED
    assert walk.status.hold is None
    assert shares(walk) == {"v1": 100}


def test_another_candidate_begins_only_after_the_first_was_sent_home() -> None:
    walk = Walk().to("canary-10")
    walk.wish(candidate="v3").look()
    assert (walk.status.phase, walk.status.candidate) == (Phase.ABORTED, "v2")
    walk.look()
    assert (walk.status.phase, walk.status.candidate) == (Phase.EVALUATING, "v3")


def test_a_rollback_lays_a_hold_that_only_its_id_lifts() -> None:
    walk = Walk().to("canary-1")
    walk.look(FAILED)
    hold = walk.status.hold
    walk.wish(candidate="v3", lift_hold="hold-of-yesterday").look()
    assert walk.status.phase is Phase.ROLLED_BACK
    assert hold.id in walk.status.message
    walk.wish(lift_hold=hold.id).look()
    assert walk.status.phase is Phase.EVALUATING


def test_a_person_holds_a_step_and_it_begins_anew_afterwards() -> None:
    walk = Walk().to("canary-10")
    walk.wish(hold=Pause(reason="lunch", by="li")).look(PASSED, after=10_000)
    assert walk.status.step == "canary-10"
    assert walk.status.step_deadline is None
    walk.wish(hold=None).look(PASSED)
    assert walk.status.step_deadline == walk.now + 3600
    walk.look(PASSED, after=600)
    assert walk.status.step == "canary-50"


def test_a_held_step_still_goes_back_when_its_gate_fails() -> None:
    walk = Walk().to("canary-10").wish(hold=Pause())
    walk.look(FAILED)
    assert walk.status.phase is Phase.ROLLED_BACK


def test_nobody_goes_further_than_allowed_and_the_deadline_still_counts() -> None:
    walk = Walk().to("canary-1").wish(advance_to="canary-1")
    walk.look(PASSED, after=3000)
    assert walk.status.step == "canary-1"
    walk.look(PASSED, after=600)
    assert walk.status.phase is Phase.ROLLED_BACK


def test_a_pipeline_raises_the_ceiling_step_by_step() -> None:
    walk = Walk(advance_to="mirror").to("mirror")
    walk.look(PASSED, after=1000)
    assert walk.status.step == "mirror"
    walk.wish(advance_to="canary-1").look(PASSED)
    assert walk.status.step == "canary-1"


def test_a_step_whose_time_is_over_says_what_it_still_waits_for() -> None:
    walk = Walk().to("canary-1")
    walk.look(PASSED)
    walk.look(None, after=1000)
    assert "one more" in walk.status.message


def test_a_candidate_without_a_service_never_begins() -> None:
    walk = Walk()
    walk.look()
    del walk.ready["v2"]
    walk.wish(candidate="v2").look()
    assert walk.status.phase is Phase.STABLE
    assert "glm-v2" in walk.status.message


def test_a_candidate_whose_service_vanishes_is_sent_home() -> None:
    walk = Walk().to("mirror")
    del walk.ready["v2"]
    assert walk.look(PASSED).phase is Phase.ROLLED_BACK


def test_a_candidate_that_nobody_answers_for_loses_its_share() -> None:
    walk = Walk().to("canary-1")
    walk.ready["v2"] = 0
    assert walk.look().phase is Phase.ROLLED_BACK


def test_a_candidate_that_still_loads_is_waited_for() -> None:
    walk = Walk().to("evaluate")
    walk.ready["v2"] = 0
    assert walk.look(PASSED, after=10).step == "evaluate"


def test_a_lost_stable_version_gives_way_to_the_youngest_kept_one() -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2").promoted("v3")
    del walk.ready["v3"]
    walk.look()
    assert shares(walk) == {"v2": 100}
    assert walk.status.phase is Phase.ROLLED_BACK


def test_a_rollback_to_a_version_nobody_answers_for_waits_but_takes_the_candidate_away() -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2").wish(stable="v2", candidate="v3").look()
    while walk.status.step != "canary-10":
        walk.look(PASSED, after=1000)
    walk.ready["v1"] = 0
    walk.wish(rollback_to="v1").look()
    assert shares(walk) == {"v2": 100}
    walk.ready["v1"] = 1
    walk.look()
    assert shares(walk) == {"v1": 100}


@pytest.mark.parametrize("wish", [{"rollback_to": "v1"}, {"stable": "v1", "candidate": None}])
def test_a_cold_version_that_is_gone_back_to_is_waited_for_and_does_not_sleep(
    wish: dict[str, str | None],
) -> None:
    """The second wish is what `helm rollback glm-road` leaves behind."""
    walk = Walk()
    walk.look()
    walk.promoted("v2").promoted("v3")
    walk.ready["v1"] = 0
    before = {each.name: each.role for each in walk.status.versions}
    walk.wish(**wish).look()
    roles = {each.name: each.role for each in walk.status.versions}
    assert (before["v1"], roles["v1"], roles["v2"]) == (Role.COLD, Role.WARM, Role.WARM)
    assert "nobody answers behind glm-v1 yet, so everybody stays on v3" in walk.status.message
    assert f"Now: {walk.status.message}." in why(walk.road, walk.now)
    assert shares(walk) == {"v3": 100}
    walk.ready["v1"] = 1
    walk.look()
    assert shares(walk) == {"v1": 100}


def test_a_pipeline_that_expects_another_stable_version_is_told_so() -> None:
    walk = Walk().to("canary-50")
    walk.look(PASSED, after=1000)
    walk.wish(stable="v1", candidate="v3").look()
    assert walk.status.phase is Phase.PROMOTED
    assert "expects v1" in walk.status.message


def test_three_former_versions_are_kept_and_the_rest_retires() -> None:
    walk = Walk()
    walk.look()
    for version in ("v2", "v3", "v4", "v5"):
        walk.promoted(version)
    assert [each.version for each in walk.status.stables] == ["v5", "v4", "v3", "v2"]
    roles = {each.name: each.role for each in walk.status.versions}
    assert roles == {
        "v1": Role.RETIRED,
        "v2": Role.COLD,
        "v3": Role.COLD,
        "v4": Role.WARM,
        "v5": Role.STABLE,
    }


def test_a_policy_without_a_mirror_goes_straight_to_the_canary() -> None:
    walk = Walk(policy=Policy(mirror=Mirror(percent=0))).to("evaluate")
    walk.look(PASSED, after=10)
    assert walk.status.step == "canary-1"


def test_a_release_keeps_the_plan_it_began_with() -> None:
    walk = Walk().to("canary-1")
    walk.wish(policy=Policy(canary=())).look(PASSED, after=700)
    assert walk.status.step == "canary-10"


def test_a_clock_set_forward_is_not_time_that_went_by() -> None:
    walk = Walk().to("canary-1")
    walk.now += 100_000
    observed = Observed(
        road=walk.road, ready=walk.ready, now=walk.now, report=PASSED, jump=100_000.0
    )
    status = decide(observed)
    assert status.step == "canary-1"
    assert status.step_deadline == walk.now + 3600


def test_a_step_that_began_in_the_future_begins_now() -> None:
    walk = Walk().to("canary-1")
    walk.look(PASSED, after=-50_000)
    assert walk.status.step_deadline == walk.now + 3600


def test_deciding_again_on_the_same_facts_changes_nothing() -> None:
    walk = Walk().to("canary-10")
    walk.look(WAITED)
    before = walk.status
    assert walk.look(WAITED) == before


def test_every_move_leaves_one_line_in_the_story() -> None:
    walk = Walk().to("canary-1")
    numbers = [each.number for each in walk.status.history]
    assert numbers == list(range(1, walk.status.transitions + 1))
    assert [str(each.target) for each in walk.status.history] == [
        "Stable",
        "Evaluating",
        "Mirroring",
        "Canary",
    ]


@pytest.mark.parametrize(
    ("ready", "told"),
    [
        (
            {"v2": 0},
            "nobody answers behind glm-v2, so users get errors; kubectl glm rollback --to v1",
        ),
        ({"v2": 0, "v1": 0}, "no other kept version answers"),
    ],
)
def test_that_nobody_answers_users_is_said_before_all_else(
    ready: dict[str, int], told: str
) -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2").wish(hold=Pause(by="li"))
    walk.ready.update(ready)
    walk.look()
    assert told in walk.status.message


def test_conditions_keep_their_time_until_they_change() -> None:
    walk = Walk().to("canary-1")
    before = {each.type: each for each in walk.status.conditions}
    walk.look(WAITED, after=5)
    after = {each.type: each for each in walk.status.conditions}
    assert after["Progressing"].last_transition_time == before["Progressing"].last_transition_time
    assert after["GatesPassing"].status == "False"


def test_facts_are_left_as_they_were() -> None:
    walk = Walk().to("canary-1")
    before = replace(walk.road)
    decide(Observed(road=walk.road, ready=walk.ready, now=walk.now, report=FAILED))
    assert walk.road == before
