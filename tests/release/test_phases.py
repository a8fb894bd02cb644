"""The table itself."""

from k8s.phases import TRANSITIONS, UNDER_A_HOLD, Event, entering, following, plan_of
from k8s.road import UNDER_WAY, Mirror, Phase, Policy

AT_REST = set(Phase) - UNDER_WAY
BACK = {Event.ROLLBACK_ASKED, Event.STABLE_LOST}


def test_every_phase_has_a_row() -> None:
    assert set(TRANSITIONS) == set(Phase)


def test_every_event_can_happen() -> None:
    assert {event for moves in TRANSITIONS.values() for event in moves} == set(Event)


def test_from_every_phase_a_rollback_leads_home() -> None:
    for moves in TRANSITIONS.values():
        assert {moves[event] for event in BACK} == {Phase.ROLLED_BACK}


def test_every_phase_under_way_ends_by_a_gate_a_deadline_or_a_withdrawal() -> None:
    for phase in UNDER_WAY:
        moves = TRANSITIONS[phase]
        assert moves[Event.GATE_FAILED] is moves[Event.DEADLINE_EXCEEDED] is Phase.ROLLED_BACK
        assert moves[Event.WITHDRAWN] is Phase.ABORTED


def test_nobody_is_promoted_but_from_the_canary() -> None:
    leading = {phase for phase, moves in TRANSITIONS.items() if Phase.PROMOTED in moves.values()}
    assert leading == {Phase.CANARY}


def test_a_phase_at_rest_begins_only_with_an_evaluation() -> None:
    for phase in AT_REST:
        begun = set(TRANSITIONS[phase].values()) & UNDER_WAY
        assert begun == {Phase.EVALUATING}


def test_from_every_phase_every_end_can_be_reached() -> None:
    for start in Phase:
        seen: set[Phase] = set()
        todo = [start]
        while todo:
            phase = todo.pop()
            if phase not in seen:
                seen.add(phase)
                todo.extend(TRANSITIONS[phase].values())
        assert {Phase.PROMOTED, Phase.ROLLED_BACK, Phase.ABORTED} <= seen


def test_a_hold_stops_what_goes_forward_and_nothing_that_goes_back() -> None:
    forward = {
        Event.MIRROR_BEGINS,
        Event.SHARE_GROWS,
        Event.LAST_STEP_PASSED,
        Event.CANDIDATE_NAMED,
    }
    assert set(Event) - UNDER_A_HOLD == forward | {Event.DEADLINE_EXCEEDED}


def test_the_plan_is_the_policy_in_order() -> None:
    names = [step.name for step in plan_of(Policy())]
    assert names == ["evaluate", "mirror", "canary-1", "canary-10", "canary-50"]
    assert [step.name for step in plan_of(Policy(mirror=Mirror(percent=0)))] == [
        "evaluate",
        "canary-1",
        "canary-10",
        "canary-50",
    ]


def test_every_step_of_a_plan_can_be_entered_from_the_one_before() -> None:
    for policy in (Policy(), Policy(mirror=Mirror(percent=0))):
        plan = plan_of(policy)
        for step in plan:
            after = following(plan, step.name)
            expected = Phase.PROMOTED if after is None else after.phase
            assert TRANSITIONS[step.phase][entering(after)] is expected
