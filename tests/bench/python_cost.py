"""What Python costs for each token: the engine's thread, and the event loop of its readers.

The card is made up: a step of single tokens lands 10 ms after the one before, so that readers hear
as often as on a real one. Run from the repository: python -m tests.bench.python_cost [streams,...]
"""

import asyncio
import random
import time

from serve_app.engine.batch import Batch
from serve_app.engine.draws import Draws
from tests.gpu import shape
from tests.gpu.arguments import numbers
from tests.gpu.engine import engine_of
from tests.gpu.engine_speed import PROMPT
from tests.gpu.figures import Figures
from tests.gpu.stream import read

STEP_S = 0.01
ANSWER = 128


class Flight:
    """A step under way; its tokens are plain words."""

    landed = False
    is_over = True

    def __init__(self, rows: int, lands: float) -> None:
        self._rows = rows
        self._lands = lands

    def draws(self) -> Draws:
        time.sleep(max(0.0, self._lands - time.perf_counter()))
        return Draws(random.choices(range(300, 150_000), k=self._rows))


class Card:
    """Lands one step after the other, and notes the CPU seconds of the thread that drives it."""

    def __init__(self) -> None:
        self._lands = 0.0
        self.cpu_s = 0.0

    def begin(self, batch: Batch) -> Flight:
        self.cpu_s = time.thread_time()
        self._lands = max(self._lands, time.perf_counter()) + STEP_S
        return Flight(len(batch.drawing), self._lands)


async def level(streams: int) -> dict[str, float]:
    card = Card()
    engine = engine_of(card, shape.settings(), shape.CONTEXT)
    engine.start()
    await read(engine, shape.prompt(0, PROMPT), ANSWER)
    prompts = [shape.prompt(each, PROMPT) for each in range(streams)]
    before, own = card.cpu_s, time.thread_time()
    seen = await asyncio.gather(*(read(engine, prompt, ANSWER) for prompt in prompts))
    took = {"engine_thread": card.cpu_s - before, "event_loop": time.thread_time() - own}
    await engine.stop()
    drawn = sum(each.tokens for each in seen)
    told = sum(len(each.pieces) for each in seen)
    costs = {f"{where}_us": round(1e6 * cpu_s / drawn, 2) for where, cpu_s in took.items()}
    return {"streams": streams, **costs, "tokens_a_piece": round(drawn / told, 1)}


def main() -> None:
    with Figures() as figures:
        for streams in numbers(0, (8, 32, 256)):
            figures.tell(**asyncio.run(level(streams)))


if __name__ == "__main__":
    main()
