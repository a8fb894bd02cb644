"""What commands write, and when they must not."""

from dataclasses import replace

import pytest

from k8s import waiting, wishes
from k8s.errors import Refused
from k8s.road import Outcome, Pause, Verdict, Version
from k8s.road.order import Order
from k8s.words import as_markdown, why
from tests.release.roads import FAILED, PASSED, WAITED, Walk


def order(name: str = "v2", **changed: object) -> Order:
    return Order(version=Version(name=name), by="li", **changed)  # type: ignore[arg-type]


def walk_at(step: str) -> Walk:
    return Walk().to(step)


def test_a_release_names_the_version_and_what_it_expects() -> None:
    walk = Walk()
    walk.look()
    new = Order(version=Version(name="v9", model_digest="9" * 64), by="li")
    wish = wishes.release(walk.road, new)
    assert (wish["candidate"], wish["stable"], wish["attempt"]) == ("v9", "v1", 1)
    assert [each["name"] for each in wish["versions"]][-1] == "v9"
    assert wish["requestedBy"] == "li"


def test_a_release_keeps_what_is_known_of_its_version() -> None:
    walk = Walk()
    walk.look()
    wish = wishes.release(walk.road, order("v2"))
    known = walk.road.spec.version("v2")
    assert known is not None
    told = {each["name"]: each["modelDigest"] for each in wish["versions"]}
    assert told["v2"] == known.model_digest


def test_a_version_cannot_become_another_model() -> None:
    walk = Walk()
    walk.look()
    other = Order(version=Version(name="v2", model_digest="0" * 64))
    with pytest.raises(Refused, match="immutable"):
        wishes.release(walk.road, other)


def test_the_same_digest_in_another_form_is_no_other_model() -> None:
    walk = Walk()
    walk.look()
    known = walk.road.spec.version("v2")
    assert known is not None
    same = Version(name="v2", model_digest=known.model_digest.removeprefix("sha256:"))
    assert wishes.release(walk.road, Order(version=same))["candidate"] == "v2"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Order(version=Version(name="V2!")), "no name of a version"),
        (Order(version=Version(name="v2", image_digest="latest")), "image digest is no SHA-256"),
        (Order(version=Version(name="v2"), advance_to="soon"), "No step soon; there is evaluate"),
    ],
)
def test_nonsense_is_refused_before_it_is_written(given: Order, told: str) -> None:
    walk = Walk()
    walk.look()
    with pytest.raises(Refused, match=told):
        wishes.release(walk.road, given)


def test_what_was_typed_is_checked_before_where_the_road_is() -> None:
    """Else one mends the road first, and is told of a slip of the pen then."""
    for walk in (Walk(), walk_at("canary-1"), Walk(hold=Pause(by="li"))):
        with pytest.raises(Refused, match="No step soon"):
            wishes.release(walk.road, order("v3", advance_to="soon"))


def test_a_candidate_that_waits_to_begin_can_be_taken_back() -> None:
    walk = Walk()
    walk.look()
    walk.wish(candidate="v2", stable="v5").look()
    assert not walk.status.under_way
    assert wishes.abort(walk.road, "li")["candidate"] is None


def test_a_candidate_that_was_sent_home_is_asked_for_no_more() -> None:
    walk = walk_at("canary-1")
    assert wishes.asked_for(walk.road) == "v2"
    walk.look(FAILED)
    assert walk.road.spec.candidate == "v2"
    assert wishes.asked_for(walk.road) is None


def test_a_road_at_which_nobody_has_looked_says_so() -> None:
    road = Walk().road
    with pytest.raises(Refused, match="no controller has looked"):
        wishes.promote(road, "mirror")
    with pytest.raises(Refused, match="no controller has looked"):
        wishes.abort(road, "li")
    assert "no controller has looked" in why(road, 0.0)


def test_who_waits_on_a_new_road_is_told_to_release() -> None:
    with pytest.raises(Refused, match=r"not the road's candidate: release it$"):
        waiting.has_passed(Walk().road, "v2", "mirror")


def test_a_wish_that_no_controller_has_seen_is_told() -> None:
    walk = Walk()
    walk.look()
    assert "No controller has seen" not in why(walk.road, 0.0)
    assert "No controller has seen" in why(replace(walk.road, generation=99), 0.0)


def test_nobody_waits_for_a_step_that_there_is_not() -> None:
    walk = Walk()
    walk.look()
    with pytest.raises(Refused, match="No step soon"):
        waiting.has_passed(walk.road, "v1", "soon")


def test_a_second_release_is_told_of_the_first() -> None:
    with pytest.raises(Refused, match=r"v2 is under way \(canary-1\)"):
        wishes.release(walk_at("canary-1").road, order("v3"))


def test_a_second_release_is_told_of_the_first_before_anybody_has_looked_at_it() -> None:
    walk = Walk()
    walk.look()
    walk.wish(candidate="v2")
    with pytest.raises(Refused, match=r"v2 is under way \(it waits to begin\)"):
        wishes.release(walk.road, order("v3"))
    assert wishes.release(walk.road, order("v2"))["candidate"] == "v2", "the same once more"
    walk.wish(candidate=wishes.abort(walk.road, "li")["candidate"])
    assert wishes.release(walk.road, order("v3"))["candidate"] == "v3"


def test_a_release_that_is_over_bars_no_other() -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2")
    assert wishes.release(walk.road, order("v3"))["candidate"] == "v3"
    walk.wish(rollback_to="v1").look()
    assert walk.status.hold is not None
    wish = wishes.release(walk.road, order("v3", override_hold=walk.status.hold.id))
    assert wish["candidate"] == "v3"


def test_a_refused_version_is_tried_again_only_when_told_to() -> None:
    walk = walk_at("canary-1")
    walk.look(FAILED)
    hold = walk.status.hold
    assert hold is not None
    with pytest.raises(Refused, match="was refused"):
        wishes.release(walk.road, order(override_hold=hold.id))
    assert wishes.release(walk.road, order(override_hold=hold.id, again=True))["attempt"] == 2


def test_a_hold_is_lifted_by_its_own_id_alone() -> None:
    walk = walk_at("canary-1")
    walk.look(FAILED)
    assert walk.status.hold is not None
    for wrong in (None, "hold-1"):
        with pytest.raises(Refused, match=walk.status.hold.id):
            wishes.release(walk.road, order("v3", override_hold=wrong))
    wish = wishes.release(walk.road, order("v3", override_hold=walk.status.hold.id))
    walk.wish(lift_hold=wish["liftHold"], candidate="v3").look()
    assert walk.status.candidate == "v3"


def test_nothing_is_released_on_a_paused_road() -> None:
    walk = Walk(hold=Pause(by="li", reason="lunch"))
    walk.look()
    with pytest.raises(Refused, match="li paused the road: lunch"):
        wishes.release(walk.road, order())


def test_a_former_stable_version_is_gone_back_to_not_released() -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2")
    with pytest.raises(Refused, match="rollback --to v1"):
        wishes.release(walk.road, order("v1"))
    with pytest.raises(Refused, match="stable version already"):
        wishes.release(walk.road, order("v2"))


def test_a_promotion_raises_the_ceiling_to_a_step_that_there_is() -> None:
    road = walk_at("mirror").road
    assert wishes.promote(road, "canary-10") == {"advanceTo": "canary-10"}
    with pytest.raises(Refused, match="No step canary-11"):
        wishes.promote(road, "canary-11")


def test_a_rollback_goes_to_the_last_good_version() -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2")
    assert wishes.rollback(walk.road, None, "li")["rollbackTo"] == "v1"
    walk.wish(stable="v2", candidate="v3").look()
    assert wishes.rollback(walk.road, None, "li")["rollbackTo"] == "v2"


def test_a_rollback_to_nowhere_is_refused() -> None:
    walk = Walk()
    walk.look()
    with pytest.raises(Refused, match="nowhere to go back"):
        wishes.rollback(walk.road, None, "li")
    with pytest.raises(Refused, match="v4 is not kept"):
        wishes.rollback(walk.road, "v4", "li")
    with pytest.raises(Refused, match="all traffic already"):
        wishes.rollback(walk.road, "v1", "li")


def test_an_abort_leaves_everybody_where_they_are() -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2").wish(stable="v2", candidate="v3").look()
    wish = wishes.abort(walk.road, "li")
    walk.wish(candidate=wish["candidate"], stable=wish["stable"]).look()
    assert walk.status.stable == "v2"
    with pytest.raises(Refused, match="Nothing is under way"):
        wishes.abort(walk.road, "li")


def test_a_resume_lifts_a_pause_but_not_the_roads_own_hold() -> None:
    walk = Walk(hold=Pause(by="li"))
    walk.look()
    assert wishes.resume(walk.road) == {"hold": None, "rollbackTo": None}
    walk = walk_at("mirror")
    walk.look(FAILED)
    assert walk.status.hold is not None
    with pytest.raises(Refused, match="resume --hold"):
        wishes.resume(walk.road)
    assert wishes.resume(walk.road, walk.status.hold.id)["liftHold"] == walk.status.hold.id


def test_there_is_nothing_to_resume_on_a_free_road() -> None:
    walk = Walk()
    walk.look()
    with pytest.raises(Refused, match="Nothing holds"):
        wishes.resume(walk.road)


def test_a_step_has_passed_when_a_later_one_has_begun() -> None:
    road = walk_at("canary-10").road
    assert waiting.has_passed(road, "v2", "canary-1")
    assert not waiting.has_passed(road, "v2", "canary-10")
    assert not waiting.has_passed(road, "v2", "promoted")


def test_a_step_has_passed_when_only_leave_is_missing() -> None:
    walk = walk_at("canary-1").wish(advance_to="canary-1")
    walk.look(WAITED, after=700)
    assert not waiting.has_passed(walk.road, "v2", "canary-1")
    walk.look(PASSED)
    assert waiting.has_passed(walk.road, "v2", "canary-1")
    walk.look(None, after=1)
    assert waiting.has_passed(walk.road, "v2", "canary-1")


def test_a_promoted_version_has_passed_everything() -> None:
    walk = Walk()
    walk.look()
    walk.promoted("v2")
    assert waiting.has_passed(walk.road, "v2", "promoted")


def test_who_waits_for_a_version_that_was_sent_back_is_told_why() -> None:
    walk = walk_at("canary-1")
    walk.look(FAILED)
    with pytest.raises(Refused, match="80 % succeeded"):
        waiting.has_passed(walk.road, "v2", "canary-10")
    walk = walk_at("canary-1")
    walk.wish(candidate=None).look()
    with pytest.raises(Refused, match="not the road's candidate"):
        waiting.has_passed(walk.road, "v2", "canary-10")


def test_a_road_says_why_it_is_where_it_is() -> None:
    walk = walk_at("canary-1")
    walk.look(WAITED)
    told = why(walk.road, walk.now)
    assert "Canary: v1 99 %, v2 1 %." in told
    assert "WAIT  samples: 3 of 100 requests" in told
    assert "everybody goes back to v1" in told
    walk.look(FAILED)
    told = why(walk.road, walk.now)
    assert "FAIL  success-rate: 80 % succeeded" in told
    assert "Held by hold-5" in told


def test_a_paused_road_says_who_holds_it() -> None:
    walk = walk_at("canary-1").wish(hold=Pause(by="li", reason="lunch"))
    walk.look(PASSED)
    assert "Held by li: lunch." in why(walk.road, walk.now)
    free = replace(walk.road, spec=replace(walk.road.spec, hold=None))
    assert "Held by" not in why(free, walk.now)


def test_the_same_release_asked_twice_has_begun() -> None:
    walk = walk_at("mirror")
    assert wishes.has_begun(walk.road, order("v2"))
    assert not wishes.has_begun(walk.road, order("v3"))
    other = Order(version=Version(name="v2", model_digest="0" * 64))
    with pytest.raises(Refused, match="immutable"):
        wishes.has_begun(walk.road, other)


def test_a_release_that_may_not_go_so_far_is_told_how_it_may() -> None:
    """Else its asker thinks that it will, and its deadline sends it home."""
    road = walk_at("mirror").wish(advance_to="canary-1").road
    for as_far in ("evaluate", "canary-1"):
        assert wishes.has_begun(road, order("v2", advance_to=as_far))
    for further in ("canary-10", "promoted"):
        with pytest.raises(Refused, match=f"canary-1 only. .*promote --to {further}"):
            wishes.has_begun(road, order("v2", advance_to=further))
    with pytest.raises(Refused, match="No step soon"):
        wishes.has_begun(road, order("v2", advance_to="soon"))


def test_a_pipeline_promotes_its_own_candidate_alone() -> None:
    road = walk_at("mirror").road
    assert wishes.promote(road, "canary-1", only="v2") == {"advanceTo": "canary-1"}
    with pytest.raises(Refused, match="v3 is not under way"):
        wishes.promote(road, "canary-1", only="v3")


@pytest.mark.parametrize(
    ("to", "past"), [("mirror", True), ("canary-10", False), ("promoted", False)]
)
def test_who_is_past_a_step_is_not_let_go_on_to_it(to: str, *, past: bool) -> None:
    """It lowered what the candidate may do, and said that it may go on."""
    assert wishes.is_past(walk_at("canary-10").road, to) is past


def test_only_retired_versions_are_forgotten() -> None:
    walk = walk_at("canary-1")
    walk.look(FAILED)
    wish = wishes.forget(walk.road, ["v2"])
    assert wish["candidate"] is None
    assert [each["name"] for each in wish["versions"]] == ["v1", "v3", "v4", "v5"]
    for name, told in (("v1", "only retired"), ("v3", "only retired"), ("v9", "knows no v9")):
        with pytest.raises(Refused, match=told):
            wishes.forget(walk.road, [name])


def test_a_verdict_is_told_for_a_merge_request() -> None:
    walk = walk_at("canary-1")
    walk.look(WAITED)
    told = as_markdown(walk.road, walk.now)
    assert told.startswith("## glm: Canary\n")
    assert "Checks of v2 in canary-1:" in told
    assert "| ⏳ | samples | 3 of 100 requests |  |" in told


def test_what_many_checks_say_alike_is_said_once() -> None:
    walk = walk_at("mirror")
    silent = [Verdict(check=name, outcome=Outcome.WAIT, message="gone") for name in ("a", "b")]
    walk.look([*silent, Verdict(check="c", outcome=Outcome.WAIT, message="3 of 100 requests")])
    assert walk.status.message == "mirror: a, b: gone; c: 3 of 100 requests"


def test_an_evaluated_version_says_which_model_it_is() -> None:
    walk = Walk()
    walk.look()
    with pytest.raises(Refused, match="v9 needs --model-digest"):
        wishes.release(walk.road, order("v9"))


def test_a_road_that_nobody_has_adopted_has_nothing_to_abort() -> None:
    with pytest.raises(Refused, match="no controller has looked"):
        wishes.abort(replace(Walk().road, spec=replace(Walk().road.spec, candidate="v2")), "li")
