"""A raw-socket client of streamed chat completions: cheap enough to share two cores with a server.

Run as a script it prints one JSON line: python streams.py PORT MODEL STREAMS SECONDS TOKENS
"""

import asyncio
import json
import re
import sys
import time
from dataclasses import dataclass, field

TEXT = re.compile(rb'"content":"[^"]')


@dataclass
class Tally:
    """Times in seconds, one entry a stream; `chunks` counts server-sent events."""

    first_token_s: list[float] = field(default_factory=list)
    total_s: list[float] = field(default_factory=list)
    chunks: int = 0
    tokens: int = 0
    errors: int = 0


def request_bytes(model: str, max_tokens: int) -> bytes:
    body = json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": "Count to 30."}],
            "max_tokens": max_tokens,
            "stream": True,
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def one_stream(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, tally: Tally
) -> None:
    started = time.perf_counter()
    writer.write(request)
    status = await reader.readline()
    await reader.readuntil(b"\r\n\r\n")
    first = None
    while size := int(await reader.readline(), 16):
        chunk = await reader.readexactly(size + 2)
        if first is None and TEXT.search(chunk):
            first = time.perf_counter()
        tally.chunks += chunk.count(b"data: ")
    await reader.readline()
    if b" 200 " not in status or first is None:
        tally.errors += 1
        return
    tally.first_token_s.append(first - started)
    tally.total_s.append(time.perf_counter() - started)


async def client(port: int, request: bytes, start_s: float, until: float, tally: Tally) -> None:
    await asyncio.sleep(start_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        await one_stream(reader, writer, request, tally)
    writer.close()


async def load(port: int, model: str, streams: int, seconds: float, max_tokens: int) -> Tally:
    """`streams` clients, started evenly over two seconds, each one stream after another."""
    tally = Tally()
    request = request_bytes(model, max_tokens)
    until = time.perf_counter() + seconds
    await asyncio.gather(
        *(client(port, request, 2 * i / streams, until, tally) for i in range(streams))
    )
    tally.tokens = len(tally.total_s) * max_tokens
    return tally


def main() -> None:
    port, model, streams, seconds, tokens = sys.argv[1:]
    tally = asyncio.run(load(int(port), model, int(streams), float(seconds), int(tokens)))
    print(json.dumps(vars(tally)))


if __name__ == "__main__":
    main()
