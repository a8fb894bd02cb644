"""What holds whatever happens: any wish, any death between two writes, any part that fails."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from k8s.ledger import verify
from k8s.phases import TRANSITIONS
from k8s.road import Pause
from k8s.road.route import render_route
from tests.release.roads import VERSIONS
from tests.release.worlds import HEALTHY, SICK, Crash, Town

Act = Callable[[Town], None]
ACTS = ("status-written", "route-written", "recorded")
version = st.sampled_from(VERSIONS)


def wish(**wishes: object) -> Act:
    return lambda town: town.world.wish(**wishes)


def roll_back(town: Town) -> None:
    """To a kept version, as admission lets nothing else through."""
    kept = [each.version for each in town.world.resource.status.stables]
    if kept:
        town.world.wish(rollback_to=kept[-1])


def lift(town: Town) -> None:
    hold = town.world.resource.status.hold
    town.world.wish(lift_hold=hold.id if hold else None, rollback_to=None)


def release(name: str) -> Act:
    """As `kubectl glm release --again --override-hold`, whatever is under way."""

    def act(town: Town) -> None:
        status = town.world.resource.status
        tried = [each.attempt for each in status.refused if each.version == name]
        town.world.services[name] = 1
        town.release(name)
        town.world.wish(
            attempt=max(tried, default=0) + 1,
            lift_hold=status.hold.id if status.hold else None,
            advance_to="promoted",
            hold=None,
        )

    return act


def wait(_town: Town) -> None:
    """Nothing happens but time."""


def lose_service(name: str) -> Act:
    """All but the last one may be lost at once: of nothing nothing is promised."""

    def act(town: Town) -> None:
        if len(town.world.services) > 1:
            town.world.services.pop(name, None)

    return act


def measure(name: str, *, healthy: bool) -> Act:
    return lambda town: town.world.measured.update({name: HEALTHY if healthy else SICK})


def break_off(what: str) -> Act:
    return lambda town: town.world.broken.add(what)


def mend(town: Town) -> None:
    town.world.broken.clear()


def die_at(act: str) -> Act:
    """The next move ends here."""

    def fault(place: str) -> None:
        if place.endswith(act):
            raise Crash

    return lambda town: town.start(fault)


def edit_route(town: Town) -> None:
    if town.world.http_route:
        town.world.http_route = {**town.world.http_route, "spec": {"rules": [{"backendRefs": []}]}}


rare = st.one_of(
    st.just(roll_back),
    st.just(lift),
    st.just(wish(candidate=None)),
    st.just(wish(hold=Pause(by="li"))),
    st.just(wish(hold=None)),
    st.builds(lambda step: wish(advance_to=step), st.sampled_from(["mirror", "promoted"])),
    st.builds(lambda attempt: wish(attempt=attempt), st.integers(1, 3)),
    st.builds(lose_service, version),
    st.builds(lambda name: lambda town: town.world.services.update({name: 1}), version),
    st.builds(lambda name, healthy: measure(name, healthy=healthy), version, st.booleans()),
    st.builds(break_off, st.sampled_from(["prometheus", "ledger", "api"])),
    st.just(mend),
    st.builds(die_at, st.sampled_from(ACTS)),
    st.just(edit_route),
    st.just(lambda town: setattr(town, "set_forward", town.set_forward + 9999.0)),
)
acts = st.one_of(st.just(wait), st.builds(release, version), rare)
pauses = st.sampled_from([11.0, 301.0, 301.0, 700.0, 4000.0])
days = st.lists(st.tuples(acts, pauses, st.integers(1, 7)), min_size=5, max_size=15)
Day = list[tuple[Act, float, int]]


def look(town: Town, after: float) -> bool:
    """Whether the controller lived through it; a dead one is started again."""
    try:
        town.look(after)
    except Crash:
        town.start()
        return False
    return True


def lived(day: Day) -> Town:
    """A day on the road, with the promises of every moment checked after each act."""
    town = Town()
    look(town, 0.0)
    for act, after, looks in day:
        act(town)
        for _ in range(looks):
            before = town.world.resource.status
            lived_on = look(town, after)
            _check(town, before.weight(before.candidate), in_line=lived_on)
    return town


def _check(town: Town, share_before: int, *, in_line: bool) -> None:
    """`in_line`: nobody died between the status and the route."""
    world = town.world
    road = world.resource
    weights = [each.weight for each in road.status.weights]
    assert sum(weights) in {0, 100}
    assert sum(world.shares.values()) in {0, 100}
    if road.spec.hold and road.status.under_way and "api" not in world.broken:
        assert road.status.weight(road.status.candidate) <= max(share_before, 0)
    if in_line and not world.broken and set(world.shares) - set(world.services):
        # Only where nobody who is kept could take over is the route left as it is.
        assert render_route(road, world.services) is None


@settings(max_examples=50, deadline=None)
@given(days)
def test_weights_sum_to_a_hundred_and_a_hold_lets_no_share_grow(
    day: Day,
) -> None:
    lived(day)


@settings(max_examples=50, deadline=None)
@given(days)
def test_in_the_end_the_route_is_what_the_status_says(day: Day) -> None:
    town = lived(day)
    mend(town)
    town.start()
    town.settle(looks=20)
    wanted = render_route(town.world.resource, town.world.services, town.world.http_route)
    assert wanted is None or town.world.http_route["spec"] == wanted["spec"]
    assert set(town.world.shares) <= set(town.world.services) or wanted is None
    assert sum(town.world.shares.values()) in {0, 100}


@settings(max_examples=50, deadline=None)
@given(days, version)
def test_whatever_happened_a_rollback_wins_within_two_looks(day: Day, target: str) -> None:
    town = lived(day)
    mend(town)
    town.start()
    if town.world.resource.status.kept(target) is None:
        return
    town.world.services[target] = 1
    town.world.wish(rollback_to=target)
    town.look()
    town.look()
    assert town.world.shares == {target: 100}


@settings(max_examples=50, deadline=None)
@given(days)
def test_every_transition_is_one_of_the_table_and_stands_in_the_ledger_once(
    day: Day,
) -> None:
    town = lived(day)
    mend(town)
    town.start()
    town.settle(looks=20)
    verify(town.world.ledger)
    bodies = [each.body for each in town.world.ledger]
    assert [each["transition"] for each in bodies] == list(range(1, len(bodies) + 1))
    table = {phase: {str(to) for to in moves.values()} for phase, moves in TRANSITIONS.items()}
    assert all(each["to"] in table[each["from"]] for each in bodies)
    assert len(bodies) == town.world.resource.status.transitions


@settings(max_examples=50, deadline=None)
@given(days)
def test_nobody_is_promoted_who_was_not_tested_in_every_step(day: Day) -> None:
    town = lived(day)
    steps: list[str] = []
    for transition in town.world.resource.status.history:
        if transition.event == "CandidateNamed":
            steps = []
        steps.append(transition.step or "")
        if transition.target == "Promoted":
            assert steps[:5] == ["evaluate", "mirror", "canary-1", "canary-10", "canary-50"]
