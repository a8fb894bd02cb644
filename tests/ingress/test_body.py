"""Bodies over a real socket: the limit holds while they arrive."""

import httpx
import orjson
import pytest

from serve_app.settings import ServerSettings
from tests.ingress.house import CHAT, House, chat
from tests.ingress.wires import connected

JSON = {"content-type": "application/json"}
SMALL = ServerSettings(max_body_bytes=1000)
CHUNK = b"1f4\r\n" + b" " * 500 + b"\r\n"


async def test_a_body_announced_too_large_is_refused_before_it_is_sent() -> None:
    async with House(settings=SMALL).listening() as url, connected(url) as connection:
        await connection.post(b"", "Content-Length: 1001")
        assert await connection.status() == 413


async def test_a_body_that_grows_too_large_is_refused_while_it_arrives() -> None:
    async with House(settings=SMALL).listening() as url, connected(url) as connection:
        await connection.post(CHUNK * 3, "Transfer-Encoding: chunked")
        assert await connection.status() == 413


async def test_a_chunked_body_within_the_limit_is_read() -> None:
    async with House(settings=SMALL).listening() as url, connected(url) as connection:
        await connection.post(CHUNK + b"0\r\n\r\n", "Transfer-Encoding: chunked")
        assert await connection.status() == 400
        assert b"The body is empty" in await connection.reader.readuntil(b"}}")


@pytest.mark.parametrize("size", [10 * 1024 * 1024, 4 * 1024 * 1024 + 1])
async def test_ten_megabytes_are_refused_and_the_next_request_is_answered(size: int) -> None:
    async with House().listening() as url, httpx.AsyncClient(base_url=url) as client:
        response = await client.post(CHAT, content=b"x" * size, headers=JSON)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"
        assert "4194304 bytes" in response.json()["error"]["message"]
        assert (await client.post(CHAT, json=chat())).status_code == 200


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    async with House(settings=SMALL).client as client:
        for spare, status in ((0, 200), (1, 413)):
            body = orjson.dumps(chat()).ljust(SMALL.max_body_bytes + spare)
            response = await client.post(CHAT, content=body, headers=JSON)
            assert response.status_code == status


async def test_a_server_on_a_real_socket_streams_to_the_end() -> None:
    async with House().listening() as url, httpx.AsyncClient(base_url=url) as client:
        response = await client.post(CHAT, json=chat(stream=True))
        assert response.text.endswith("data: [DONE]\n\n")
