import pytest

from serve_app.engine.host_pool import TRANSITIONS, HostPool, Slot


def filled(*keys: bytes) -> HostPool:
    """A pool that is full of these pages, the first put there first."""
    pool = HostPool(len(keys))
    for page, key in enumerate(keys):
        pool.store(key, page)
    pool.arrived(slot for _, slot in pool.planned())
    return pool


def known(pool: HostPool, *keys: bytes) -> list[bool]:
    return [bool(pool.match([key])) for key in keys]


def test_a_page_is_found_once_its_step_is_done() -> None:
    pool = HostPool(2)
    pool.store(b"a", 7)
    ((page, slot),) = pool.planned()
    assert (page, pool.match([b"a"]), pool.planned()) == (7, [], ())
    pool.arrived([slot])
    assert pool.match([b"a"]) == [slot]


def test_of_a_step_that_failed_nothing_is_kept() -> None:
    pool = HostPool(1)
    pool.store(b"a", 0)
    pool.lost(slot for _, slot in pool.planned())
    assert (pool.match([b"a"]), pool.used) == ([], 0)
    pool.check()


def test_the_longest_unused_page_gives_way() -> None:
    pool = filled(b"a", b"b", b"c")
    pool.store(b"a", 9)
    assert pool.planned() == ()
    pool.store(b"d", 9)
    assert known(pool, b"a", b"b", b"c") == [True, False, True]


def test_the_end_of_a_chain_gives_way_before_its_beginning() -> None:
    pool = filled(b"a", b"b", b"c")
    slots = pool.match([b"a", b"b", b"c"])
    pool.read(slots)
    pool.done(slots)
    pool.store(b"d", 9)
    assert known(pool, b"a", b"b", b"c") == [True, True, False]


def test_what_somebody_is_to_get_back_stays_until_all_have_it() -> None:
    pool = filled(b"a")
    slots = pool.match([b"a"])
    pool.read(slots)
    pool.read(slots)
    pool.done(slots)
    pool.store(b"b", 9)
    assert (pool.planned(), known(pool, b"a")) == ((), [True])
    pool.done(slots)
    pool.store(b"b", 9)
    assert (len(pool.planned()), known(pool, b"a")) == (1, [False])


def test_what_could_not_be_brought_back_is_not_tried_again() -> None:
    pool = filled(b"a")
    slots = pool.match([b"a"])
    pool.read(slots)
    pool.distrust(slots)
    assert (known(pool, b"a"), pool.used) == ([False], 1)
    pool.done(slots)
    assert pool.used == 0
    pool.check()


def test_what_is_forgotten_on_its_way_is_not_kept() -> None:
    pool = HostPool(1)
    pool.store(b"a", 0)
    pool.forget(b"a")
    pool.arrived(slot for _, slot in pool.planned())
    assert (known(pool, b"a"), pool.used) == ([False], 0)
    pool.check()


def test_a_pool_without_room_keeps_nothing() -> None:
    pool = HostPool()
    pool.store(b"a", 0)
    assert (pool.planned(), pool.used) == ((), 0)


def test_a_slot_let_go_of_twice_is_noticed() -> None:
    pool = filled(b"a")
    slots = pool.match([b"a"])
    pool.read(slots)
    pool.done(slots)
    pool.done(slots)
    with pytest.raises(RuntimeError, match="balance"):
        pool.check()


def test_every_state_can_be_left() -> None:
    assert set(TRANSITIONS) == set(Slot)
    assert all(TRANSITIONS.values())
