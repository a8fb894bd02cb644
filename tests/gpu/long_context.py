"""Prompts of 128K tokens whole, and what chats notice of them.

usage: python -m tests.gpu.long_context [auto|fp8]
"""

import asyncio
import json
import sys
import time

import torch

from serve_app.engine.engine import Engine
from tests.gpu import shape
from tests.gpu.engine_speed import share
from tests.gpu.stream import Stream, read
from tests.gpu.whole_engine import Marked, build

DOCUMENT, CHAT, ANSWER = 131_000, 512, 16
PAUSE_S = 0.23  # between two chats


async def chats(engine: Engine, count: int, seed: int) -> list[Stream]:
    return [
        await read(engine, shape.prompt(seed + number, CHAT), ANSWER) for number in range(count)
    ]


async def beside(engine: Engine, document: asyncio.Task[Stream], seed: int) -> list[Stream]:
    """Chats that come one after the other, whether the last is done or not, while one reads."""
    under_way: list[asyncio.Task[Stream]] = []
    while not document.done():
        prompt = shape.prompt(seed + len(under_way), CHAT)
        under_way.append(asyncio.create_task(read(engine, prompt, ANSWER)))
        await asyncio.sleep(PAUSE_S)
    return list(await asyncio.gather(*under_way))


def steps_ms(marked: Marked) -> list[float]:
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) for begin, end in marked.marks]


async def run(dtype: str) -> None:
    settings = shape.settings(kv_dtype=dtype, kv_tokens=3 * 131_072, max_running=64)
    engine, marked = build(shape.model(), settings)
    engine.start()
    await chats(engine, 4, 10**6)
    alone = [1e3 * each.first for each in await chats(engine, 24, 2 * 10**6)]
    words = shape.prompt(1, DOCUMENT)
    whole = await read(engine, words, 4)
    begun = time.perf_counter()
    again = await read(engine, [*words[:-40], *shape.prompt(2, 40)], 4)
    marked.marks.clear()
    document = asyncio.create_task(read(engine, shape.prompt(3, DOCUMENT), 4))
    crowd = await beside(engine, document, 3 * 10**6)
    firsts = [1e3 * each.first for each in crowd]
    longest = max(steps_ms(marked))
    told = {
        "kv_dtype": dtype,
        "document_s": round(whole.first, 2),
        "document_again_s": round(again.first, 3),
        "document_beside_chats_s": round((await document).first, 2),
        "chats": len(crowd),
        "chat_alone_p50_ms": round(share(alone, 0.5), 1),
        "chat_alone_p99_ms": round(share(alone, 0.99), 1),
        "chat_beside_p50_ms": round(share(firsts, 0.5), 1),
        "chat_beside_p99_ms": round(share(firsts, 0.99), 1),
        "longest_step_ms": round(longest, 1),
        "step_p90_ms": round(share(steps_ms(marked), 0.9), 1),
        "bound_ms": round(2 * share(alone, 0.99) + longest, 1),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    print(json.dumps(told), flush=True)
    await engine.stop()


def main() -> None:
    asyncio.run(run(sys.argv[1] if len(sys.argv) > 1 else "auto"))


if __name__ == "__main__":
    main()
