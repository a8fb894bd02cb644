"""What headers say counts only where settings trust them."""

import pytest

from serve_app.errors import Overloaded
from serve_app.messages import Caller, Urgency
from serve_app.settings import ServerSettings
from tests.fakes.generator import ScriptedGenerator
from tests.ingress.house import CHAT, House, chat

TRUSTING = ServerSettings(tenant_header="x-tenant", priority_header="x-priority")
TIMEOUT = "x-envoy-expected-rq-timeout-ms"


async def asked(
    headers: list[tuple[str, str]], settings: ServerSettings | None = None, **fields: object
) -> tuple[Caller, Urgency]:
    """Who asked, and how urgently, as the generator saw it."""
    house = House(settings=settings)
    async with house.client as client:
        response = await client.post(CHAT, json=chat(**fields), headers=headers)
    assert response.status_code == 200, response.text
    (request,) = house.generator.requests
    return request.caller, request.urgency


async def test_a_tenant_is_believed_only_where_settings_name_the_header() -> None:
    headers = [("x-tenant", "acme"), ("x-priority", "9")]
    assert await asked(headers) == (Caller(), Urgency())
    assert await asked(headers, TRUSTING) == (Caller("acme"), Urgency(9))
    assert await asked([], TRUSTING) == (Caller(), Urgency())


@pytest.mark.parametrize(
    "headers",
    [
        [("x-tenant", "")],
        [("x-tenant", "a b")],
        [("x-tenant", "é")],
        [("x-tenant", "x" * 129)],
        [("x-tenant", "a"), ("x-tenant", "b")],
        [("x-priority", "soon")],
        [("x-priority", "101")],
        [("x-priority", "-101")],
    ],
)
async def test_a_trusted_header_that_is_malformed_is_refused(
    headers: list[tuple[str, str]],
) -> None:
    house = House(settings=TRUSTING)
    encoded = [(name, value.encode("latin-1")) for name, value in headers]
    async with house.client as client:
        response = await client.post(CHAT, json=chat(), headers=encoded)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_request"
    assert house.generator.requests == []


async def test_the_gateways_priority_goes_before_the_callers() -> None:
    assert (await asked([("x-priority", "3")], TRUSTING, priority=7))[1] == Urgency(3)
    assert (await asked([], TRUSTING, priority=7))[1] == Urgency(7)


@pytest.mark.parametrize(
    ("value", "deadline_s"),
    [("1500", 1.5), ("0", None), ("-5", None), ("soon", None), ("9" * 11, None)],
)
async def test_envoys_patience_is_the_deadline(value: str, deadline_s: float | None) -> None:
    assert (await asked([(TIMEOUT, value)]))[1].deadline_s == deadline_s


async def test_a_full_house_says_when_there_will_be_room() -> None:
    async with House(ScriptedGenerator(Overloaded("Full.", 2.3401))).client as client:
        response = await client.post(CHAT, json=chat())
    assert response.status_code == 503
    assert response.headers["retry-after"] == "3"
    assert response.headers["retry-after-ms"] == "2341"
