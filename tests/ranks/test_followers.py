"""A model computed by two processes: the same tokens as by one, and an end whoever ends first."""

import asyncio
import subprocess
import sys
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import psutil
import pytest

from serve_app.errors import BadModel, EngineFailed, NotReady
from serve_app.loading import load_engine
from serve_app.settings import EngineSettings, ModelSettings, Settings
from tests.engine.parts import until
from tests.ranks.said import said

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(300)  # each process imports what an engine needs


def settings(ranks: int, **engine: Any) -> Settings:
    chosen = EngineSettings(tensor_parallel=ranks, yields_per_s=10**9, **engine)
    return Settings(model=ModelSettings(device="cpu"), engine=chosen)


async def answers(chosen: Settings) -> tuple[list[list[int]], int, int]:
    """What is said, how often a sequence was sent away, and tokens that came from the host."""
    engine: Any = await asyncio.to_thread(load_engine, chosen)
    engine.start()
    try:
        found = await said(engine)
        stats = engine.stats()
        return found, stats.preemptions, stats.host_hit_tokens
    finally:
        await engine.stop()


def test_two_ranks_say_what_one_says_in_chunks_in_forks_with_guesses_and_after_being_away() -> None:
    tight = {"step_tokens": 24, "kv_tokens": 24 * 16, "speculation": "by_request"}
    tight |= {"host_kv_tokens": 10**4}

    alone, *_ = asyncio.run(answers(settings(1, **tight)))
    together, preemptions, brought_back = asyncio.run(answers(settings(2, **tight)))

    assert together == alone
    assert preemptions > 0
    assert brought_back > 0
    assert active_children() == []


def test_a_rank_that_ends_unasked_turns_the_engine_red_and_leaves_nobody_waiting() -> None:
    async def lose() -> None:
        engine: Any = await asyncio.to_thread(load_engine, settings(2))
        engine.start()
        engine.check()
        asking = asyncio.create_task(said(engine))
        await until(lambda: engine.stats().running)
        (follower,) = active_children()
        follower.kill()
        with pytest.raises((EngineFailed, NotReady)):
            await asking
        with pytest.raises(EngineFailed):
            engine.check()
        await engine.stop()
        assert active_children() == []

    asyncio.run(lose())


def test_ranks_end_with_the_first_one_though_it_is_killed() -> None:
    command = [sys.executable, "-m", "tests.ranks.lone"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as first:
        assert first.stdout is not None
        said = (line.strip() for line in first.stdout)
        other = psutil.Process(int(next(line for line in said if line.isdecimal())))
        first.kill()
    assert not psutil.wait_procs([other], timeout=20)[1]


def test_a_model_whose_heads_cannot_be_dealt_out_is_refused_and_nobody_is_left() -> None:
    with pytest.raises(BadModel, match="num_attention_heads \\(6\\)"):
        load_engine(settings(4))
    assert active_children() == []
