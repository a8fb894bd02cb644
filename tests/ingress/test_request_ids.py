import re

import pytest
from starlette.types import Message, Receive, Scope, Send

from serve_app.ingress.request_ids import RequestIds, outermost
from tests.fakes.generator import ScriptedGenerator
from tests.ingress.house import CHAT, House, chat

FRESH = re.compile(r"[0-9a-f]{32}")
HARMFUL = [
    "",
    " ",
    "a b",
    "a" * 65,
    "a\r\nset-cookie: x=1",
    "a\nb",
    "a\x00b",
    "é",
    "a;b",
    "<script>",
    "a\n",
]


@pytest.mark.parametrize("offered", ["r-1", "A.b_c-9", "a" * 64])
async def test_a_harmless_id_is_kept(offered: str) -> None:
    async with House().client as client:
        response = await client.post(CHAT, json=chat(), headers={"x-request-id": offered})
    assert response.headers["x-request-id"] == offered
    assert response.json()["id"] == f"chatcmpl-{offered}"


@pytest.mark.parametrize("offered", HARMFUL)
async def test_a_harmful_id_is_replaced(offered: str) -> None:
    headers = [(b"x-request-id", offered.encode("latin-1"))]
    async with House().client as client:
        response = await client.post(CHAT, json=chat(), headers=headers)
    assert FRESH.fullmatch(response.headers["x-request-id"])
    assert response.json()["id"] == f"chatcmpl-{response.headers['x-request-id']}"
    assert "set-cookie" not in response.headers


async def test_two_ids_are_replaced_by_one() -> None:
    headers = [("x-request-id", "a"), ("x-request-id", "b")]
    async with House().client as client:
        response = await client.get("/health", headers=headers)
    assert FRESH.fullmatch(response.headers["x-request-id"])


async def test_every_answer_has_an_id_of_its_own() -> None:
    async with House(ScriptedGenerator(ValueError())).client as client:
        responses = [
            await client.get("/health"),
            await client.get("/nowhere"),
            await client.get(CHAT),
            await client.post(CHAT, json={}),
            await client.post(CHAT, json=chat()),
            await client.post(CHAT, json=chat(stream=True)),
        ]
    assert len({response.headers["x-request-id"] for response in responses}) == len(responses)


async def test_a_second_layer_leaves_one_header() -> None:
    """Serve echoes the caller's id between the two layers, harmful as it may be."""
    sent: list[Message] = []

    async def echoing(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_echo(message: Message) -> None:
            message["headers"] = [*message["headers"], (b"x-request-id", b"<echo>")]
            await send(message)

        await RequestIds(answering)(scope, receive, send_echo)

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError

    seen: list[tuple[bytes, bytes]] = []
    (layer,) = outermost()
    await layer.cls(echoing)(
        {"type": "http", "headers": [(b"x-request-id", b"<x>")]}, receive, send
    )
    assert sent[0]["headers"] == seen
    assert len(seen) == 1


async def test_the_trace_context_is_left_alone() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    seen: list[tuple[bytes, bytes]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(scope["headers"])

    scope = {"type": "http", "headers": [(b"traceparent", trace)]}
    await RequestIds(application)(scope, None, None)  # type: ignore[arg-type]  # not called
    assert (b"traceparent", trace) in seen
