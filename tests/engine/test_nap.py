"""When to wake in a long step: time is turned by hand."""

import pytest

from serve_app.engine.batch import Batch, Row
from serve_app.engine.draws import Draws
from serve_app.engine.nap import Nap
from serve_app.engine.sequence import Sequence

STEP_S = 0.4


class Night:
    """A step that takes a while, and a clock that moves only in sleep."""

    landed = False

    def __init__(self, step_s: float = STEP_S) -> None:
        self.now = 0.0
        self._step_s = step_s

    @property
    def is_over(self) -> bool:
        return self.now >= self._step_s

    def draws(self) -> Draws:
        return Draws([])

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def slept(self, *past: tuple[Batch, float], batch: Batch) -> float:
        nap = Nap(lambda: self.now, self.sleep)
        for each in past:
            nap.learn(*each)
        nap.take(batch, self)
        return self.now


def prompt(tokens: int) -> Batch:
    row = Row(Sequence([0] * tokens, 1), 0, tokens, True, [])
    return Batch((), (row,))


def test_it_wakes_shortly_before_a_step_ends_that_is_as_long_as_the_last() -> None:
    slept = Night().slept((prompt(4096), STEP_S), batch=prompt(4096))
    assert STEP_S * 0.9 < slept < STEP_S - 0.005


def test_half_the_tokens_are_half_the_sleep() -> None:
    slept = Night().slept((prompt(8192), 2 * STEP_S), batch=prompt(4096))
    assert STEP_S * 0.9 < slept < STEP_S


@pytest.mark.parametrize("past", [[], [(prompt(4096), 0.0)], [(prompt(64), 0.001)]])
def test_it_sleeps_to_the_end_while_it_knows_of_no_long_step(
    past: list[tuple[Batch, float]],
) -> None:
    assert Night().slept(*past, batch=prompt(4096)) == pytest.approx(STEP_S, abs=0.002)


def test_it_does_not_sleep_on_when_a_step_ends_sooner() -> None:
    slept = Night(0.1).slept((prompt(4096), STEP_S), batch=prompt(4096))
    assert slept == pytest.approx(0.1, abs=0.002)


def test_single_tokens_are_no_reason_to_sleep() -> None:
    assert not Nap.suits(prompt(2047))
    assert Nap.suits(prompt(2048))
