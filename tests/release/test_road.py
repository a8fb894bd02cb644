"""The resource as it is read and written, and the route that follows from it."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.errors import BadRoad
from k8s.road import Mirror, Policy, parse, render_status
from k8s.road.resource import render_spec
from k8s.road.route import is_taken, render_route
from k8s.road.wire import duration_of, instant_of, seconds_of, time_of
from tests.release.roads import PASSED, VERSIONS, Walk, road_of, spec_of

EVERYONE = frozenset(VERSIONS)


def resource_of(walk: Walk) -> dict[str, Any]:
    return {
        "metadata": {"name": "glm", "namespace": "models", "uid": "u", "generation": 1,
                     "resourceVersion": "1"},
        "spec": render_spec(walk.road.spec),
        "status": render_status(walk.status),
    }  # fmt: skip


@given(st.integers(0, 10**9))
def test_every_duration_is_read_as_it_was_written(milliseconds: int) -> None:
    assert seconds_of(duration_of(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@given(st.integers(0, 4 * 10**12))
def test_every_time_is_read_as_it_was_written(milliseconds: int) -> None:
    assert instant_of(time_of(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-3)


def test_a_road_is_read_as_it_was_written() -> None:
    walk = Walk(requested_by="pipeline 7").to("canary-10")
    assert parse(resource_of(walk)) == walk.road


def test_a_status_of_a_younger_controller_can_be_read() -> None:
    resource = resource_of(Walk().to("mirror"))
    resource["status"]["wisdom"] = 7
    assert parse(resource).status.step == "mirror"


def test_what_cannot_be_read_is_named() -> None:
    resource = resource_of(Walk())
    resource["spec"]["policy"]["interval"] = "soon"
    with pytest.raises(BadRoad, match=r"policy\.interval"):
        parse(resource)


def rules_of(walk: Walk, routable: Collection[str] = EVERYONE) -> list[dict[str, Any]]:
    return render_route(walk.road, routable)["spec"]["rules"]


def test_the_weights_of_the_route_are_those_of_the_status() -> None:
    weighted = rules_of(Walk().to("canary-10"))[0]
    shares = {each["name"]: each["weight"] for each in weighted["backendRefs"]}
    assert shares == {"glm-v1": 90, "glm-v2": 10, "glm-v3": 0, "glm-v4": 0, "glm-v5": 0}


def test_no_rule_ever_cuts_a_stream() -> None:
    assert all(each["timeouts"] == {"request": "0s"} for each in rules_of(Walk().to("mirror")))


def test_no_version_has_filters_of_its_own() -> None:
    """Envoy Gateway then makes and drops connections with its share, and requests fail."""
    for rule in rules_of(Walk().to("canary-1")):
        assert not any("filters" in backend for backend in rule["backendRefs"])


def test_every_version_can_be_asked_by_its_header() -> None:
    pinned = rules_of(Walk().to("canary-1"))[1:]
    asked = [rule["matches"][0]["headers"][0]["value"] for rule in pinned]
    answered = [rule["backendRefs"][0]["name"] for rule in pinned]
    assert asked == list(VERSIONS)
    assert answered == [f"glm-{each}" for each in VERSIONS]


def test_the_places_of_versions_do_not_change_with_their_weights() -> None:
    walk = Walk()
    walk.look()
    walk.wish(candidate="v2").look()
    seen = set()
    while walk.status.under_way:
        seen.add(tuple(each["name"] for each in rules_of(walk)[0]["backendRefs"]))
        walk.look(PASSED, after=1000)
    assert seen == {tuple(f"glm-{each}" for each in VERSIONS)}


def test_a_share_of_live_requests_is_copied_to_the_candidate_while_it_is_mirrored() -> None:
    (mirror,) = rules_of(Walk().to("mirror"))[0]["filters"]
    assert mirror["requestMirror"]["percent"] == 5
    assert mirror["requestMirror"]["backendRef"]["name"] == "glm-v2"
    assert "filters" not in rules_of(Walk().to("canary-1"))[0]


def test_copies_go_to_the_scorer_where_there_is_one() -> None:
    walk = Walk(policy=Policy(mirror=Mirror(service="glm-scorer"))).to("mirror")
    (mirror,) = rules_of(walk)[0]["filters"]
    assert mirror["requestMirror"]["backendRef"]["name"] == "glm-scorer"


def test_a_version_without_a_service_gets_nothing_and_its_share_goes_home() -> None:
    weighted = rules_of(Walk().to("canary-10"), EVERYONE - {"v2"})[0]
    shares = {each["name"]: each["weight"] for each in weighted["backendRefs"]}
    assert shares["glm-v1"] == 100
    assert "glm-v2" not in shares


def test_without_anybody_to_route_to_the_route_is_left_alone() -> None:
    for routable in ({"v5"}, {"v2"}):  # the candidate alone must not get what the stable one had
        assert render_route(Walk().to("canary-10").road, routable) is None
    assert render_route(road_of(), EVERYONE) is None


def test_the_route_hangs_on_its_gateways_and_goes_with_its_road() -> None:
    walk = Walk(hostnames=("glm.example",))
    walk.look()
    route = render_route(walk.road, EVERYONE)
    assert route["spec"]["hostnames"] == ["glm.example"]
    assert route["spec"]["parentRefs"][0]["name"] == "glm"
    assert route["metadata"]["ownerReferences"][0]["uid"] == "u"


def accepted(status: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Accepted", "status": status}]}


@pytest.mark.parametrize(
    ("parents", "taken"),
    [
        ([accepted("True")], True),
        ([accepted("False")], False),
        ([accepted("True"), accepted("False")], False),
        ([], False),
    ],
)
def test_a_route_is_taken_when_every_gateway_has_accepted_it(
    parents: list[dict[str, Any]], *, taken: bool
) -> None:
    walk = Walk()
    walk.look()
    route = render_route(walk.road, EVERYONE)
    assert is_taken({**route, "status": {"parents": parents}}) is taken
    assert not is_taken(route)


def test_a_spec_says_where_it_ends() -> None:
    assert spec_of().target == "v1"
    assert replace(spec_of(), candidate="v2").target == "v2"


@given(st.lists(st.sets(st.sampled_from(VERSIONS), min_size=1), min_size=2, max_size=8))
def test_no_version_that_stays_ever_changes_its_place(sets: list[set[str]]) -> None:
    walk, live = Walk().to("canary-1"), None
    for routable in sets:
        before = pinned_places(live)
        live = render_route(walk.road, routable | {"v1"}, live)
        after = pinned_places(live)
        stayed = before.keys() & (routable | {"v1"})
        assert {name: after[name] for name in stayed} == {name: before[name] for name in stayed}
        assert len(after) <= len(VERSIONS)
        assert routable <= after.keys()


def pinned_places(route: dict[str, Any] | None) -> dict[str, int]:
    rules = route["spec"]["rules"][1:] if route else []
    names = (rule["matches"][0]["headers"][0]["value"] for rule in rules)
    return {name: place for place, name in enumerate(names)}


def test_who_asks_for_a_version_that_is_gone_is_led_to_the_stable_one() -> None:
    walk = Walk().to("canary-1")
    live = render_route(walk.road, EVERYONE)
    route = render_route(walk.road, EVERYONE - {"v3"}, live)
    assert pinned_places(route) == pinned_places(live)
    rule = route["spec"]["rules"][1 + pinned_places(route)["v3"]]
    assert [each["name"] for each in rule["backendRefs"]] == ["glm-v1"]


@pytest.mark.parametrize("rules", [[], [{}, {"matches": []}], [{}, {"matches": "all"}]])
def test_rules_that_somebody_wrote_otherwise_are_written_anew(rules: list[Any]) -> None:
    road = Walk().to("canary-1").road
    assert render_route(road, EVERYONE, {"spec": {"rules": rules}}) == render_route(road, EVERYONE)


def test_the_rule_of_all_users_stays_in_its_place_when_a_version_goes() -> None:
    """Envoy Gateway calls a rule's connections by its number, and drops those of the last first."""
    walk = Walk().to("canary-1")
    before, after = rules_of(walk), rules_of(walk, {"v1"})
    assert len(after) < len(before)
    for rules in (before, after):
        assert "headers" not in rules[0]["matches"][0]
        assert all("headers" in rule["matches"][0] for rule in rules[1:])
