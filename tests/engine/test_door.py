"""A share of the fuzz at the engine's door; the whole is a command, see door.py."""

import pytest

from tests.engine.door import run


@pytest.mark.timeout(300)
async def test_whatever_is_asked_is_served_or_refused_and_the_engine_lives() -> None:
    ends = await run(1_500, seed=1)
    assert ends.total() == 1_500
    assert min(ends["served"], ends["no such request"], ends["TooLong"]) > 25
