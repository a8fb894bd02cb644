"""Raw connections, for clients that do not behave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import orjson

from tests.ingress.house import CHAT, chat


class Connection:
    """One socket to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def post(self, body: bytes, *headers: str) -> None:
        """Send a head with exactly these headers, then the body."""
        lines = [f"POST {CHAT} HTTP/1.1", "Host: house", "Content-Type: application/json", *headers]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()

    async def ask(self, **fields: object) -> None:
        body = orjson.dumps(chat(**fields))
        await self.post(body, f"Content-Length: {len(body)}")

    async def status(self) -> int:
        return int((await self.reader.readline()).split()[1])

    async def hang_up(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def connected(url: str, limit: int = 2**16) -> AsyncIterator[Connection]:
    """`limit` bytes are buffered here at most; then the socket is not read any more."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=limit)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()
