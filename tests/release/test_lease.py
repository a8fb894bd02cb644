"""Who leads."""

import pytest

from k8s.lease import Candidacy, Claim


class Registry:
    """A lease as the API server keeps it, and two clocks of two machines in one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.standing: Claim | None = None
        self.writes = 0

    def candidate(self, name: str) -> Candidacy:
        return Candidacy(name, 15.0, lambda: self.now)

    def renew(self, candidacy: Candidacy) -> bool:
        claim = candidacy.claim(self.standing, f"time {self.now}")
        if claim is not None:
            self.writes += 1
            self.standing = Claim(
                holder=claim.holder,
                renewed=claim.renewed,
                changes=claim.changes,
                revision=str(self.writes),
            )
            candidacy.won(self.now)
        return candidacy.leads()


@pytest.fixture
def registry() -> Registry:
    return Registry()


def test_the_first_one_leads_and_the_second_waits(registry: Registry) -> None:
    first, second = registry.candidate("a"), registry.candidate("b")
    assert registry.renew(first)
    assert not registry.renew(second)


def test_a_leader_that_renews_stays_the_leader(registry: Registry) -> None:
    first, second = registry.candidate("a"), registry.candidate("b")
    for _ in range(20):
        assert registry.renew(first)
        assert not registry.renew(second)
        registry.now += 5
    assert registry.standing is not None
    assert registry.standing.changes == 0


def test_a_dead_leader_is_followed_after_the_whole_duration(registry: Registry) -> None:
    first, second = registry.candidate("a"), registry.candidate("b")
    registry.renew(first)
    registry.renew(second)
    registry.now += 14.9
    assert not registry.renew(second)
    registry.now += 0.1
    assert registry.renew(second)
    assert registry.standing is not None
    assert registry.standing.changes == 1


def test_a_leader_that_cannot_renew_stops_before_the_next_one_may_begin(
    registry: Registry,
) -> None:
    first, second = registry.candidate("a"), registry.candidate("b")
    registry.renew(first)
    for _ in range(200):
        registry.now += 0.1
        assert not (registry.renew(second) and first.leads())
    assert second.leads()


def test_a_leader_that_comes_back_under_its_name_goes_on_at_once(registry: Registry) -> None:
    registry.renew(registry.candidate("a"))
    assert registry.renew(registry.candidate("a"))


def test_a_lease_that_was_given_up_is_taken_at_once(registry: Registry) -> None:
    first, second = registry.candidate("a"), registry.candidate("b")
    registry.renew(first)
    assert registry.standing is not None
    registry.standing = first.resign(registry.standing)
    assert not first.leads()
    assert registry.renew(second)


def test_a_leader_that_finds_another_ones_name_leads_no_more(registry: Registry) -> None:
    first = registry.candidate("a")
    registry.renew(first)
    registry.standing = Claim(holder="b", renewed="", revision="99")
    assert not registry.renew(first)


def test_who_waits_looks_more_often_than_the_leader_renews(registry: Registry) -> None:
    first, second = registry.candidate("a"), registry.candidate("b")
    registry.renew(first)
    registry.renew(second)
    assert second.look_again_s <= 1 < first.look_again_s < 10
