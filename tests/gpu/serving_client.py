"""Streams of text completions from one process, over raw sockets; standard library alone.

Prompts are token ids. All streams begin at one moment, for several processes to begin together.
usage: serving_client.py PORT MODEL STREAMS SEED BEGIN PROMPT ANSWER; prints one line of JSON
"""

import asyncio
import json
import random
import sys
import time

SPOKEN = b'"text":"w'  # a piece that shows something


def request(model: str, prompt: list[int], answer: int) -> bytes:
    wishes = {"max_tokens": answer, "temperature": 0.0, "stream": True, "prompt": prompt}
    body = json.dumps({"model": model, **wishes}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + kind).encode() + body


async def stream(port: int, asked: bytes, begin: float) -> tuple[float, float]:
    """Seconds to the first text and to the end; raises ValueError if there was no answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    await asyncio.sleep(begin - time.time())
    begun, first, said = time.perf_counter(), 0.0, b""
    writer.write(asked)
    while piece := await reader.read(65536):
        said = said[-64:] + piece
        if not first and SPOKEN in said:
            first = time.perf_counter() - begun
    writer.close()
    if not first or b"[DONE]" not in said:
        raise ValueError(said[-300:])
    return first, time.perf_counter() - begun


async def run(port: int, model: str, streams: int, seed: int, *rest: str) -> list[object]:
    begin, prompt, answer = float(rest[0]), int(rest[1]), int(rest[2])
    words = random.Random(seed)
    asked = [
        request(model, [words.randrange(300, 150_000) for _ in range(prompt)], answer)
        for _ in range(streams)
    ]
    work = (stream(port, each, begin) for each in asked)
    return [
        [str(each)] if isinstance(each, BaseException) else each
        for each in await asyncio.gather(*work, return_exceptions=True)
    ]


def main() -> None:
    port, model, streams, seed, *rest = sys.argv[1:]
    print(json.dumps(asyncio.run(run(int(port), model, int(streams), int(seed), *rest))))


if __name__ == "__main__":
    main()
