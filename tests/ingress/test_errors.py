import pytest
from structlog.testing import capture_logs

from serve_app.errors import (
    HTTP_ERRORS,
    BadModel,
    DeadlineExceeded,
    EngineFailed,
    Overloaded,
    ServeAppError,
)
from serve_app.settings import ServerSettings
from tests.fakes.generator import EndlessGenerator, ScriptedGenerator, spoken
from tests.fakes.guards import BLOCKED
from tests.ingress.house import CHAT, House, chat

SHOWN = sorted(HTTP_ERRORS.keys() - {EngineFailed}, key=lambda error: error.__name__)
ID = {"x-request-id": "r-1"}


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_before_the_first_byte_is_its_row_of_the_table(
    kind: type[ServeAppError], stream: bool
) -> None:
    row = HTTP_ERRORS[kind]
    async with House(ScriptedGenerator(kind("Mend it."))).client as client:
        response = await client.post(CHAT, json=chat(stream=stream))
    assert response.status_code == row.status
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "error": {"message": "Mend it.", "type": row.type, "param": None, "code": row.code}
    }
    assert ("retry-after" in response.headers) is (row.retry_after_s is not None)


async def test_retry_after_is_what_the_table_says() -> None:
    async with House(ScriptedGenerator(Overloaded("Full."))).client as client:
        response = await client.post(CHAT, json=chat())
    assert response.headers["retry-after"] == str(HTTP_ERRORS[Overloaded].retry_after_s)


async def test_the_field_at_fault_is_passed_on() -> None:
    async with House(verdict=BLOCKED).client as client:
        response = await client.post(CHAT, json=chat(stream=True))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "content_filter"
    assert response.json()["error"]["param"] == "messages"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("the prompt was: hi"),
        EngineFailed("CUDA at 0xdeadbeef"),
        BadModel("no such file"),
    ],
)
async def test_what_broke_inside_is_told_without_detail_and_logged_with_it(
    error: Exception, stream: bool
) -> None:
    house = House(ScriptedGenerator(error))
    with capture_logs() as lines:
        async with house.client as client:
            response = await client.post(CHAT, json=chat(stream=stream), headers=ID)
    assert response.status_code == 500
    shape = response.json()["error"]
    assert shape["type"] == "server_error"
    assert shape["code"] == "engine_failed"
    assert "r-1" in shape["message"]
    assert str(error) not in response.text
    (failure,) = [line for line in lines if line["event"] == "failure"]
    assert failure["request_id"] == "r-1"
    assert failure["exc_info"] is error


@pytest.mark.parametrize(
    ("error", "code"), [(Overloaded("Full."), "overloaded"), (KeyError("x"), "engine_failed")]
)
async def test_an_error_after_the_first_byte_is_an_event_and_there_is_no_done(
    error: Exception, code: str
) -> None:
    house = House(ScriptedGenerator(*spoken("Hello")[:1], error))
    with capture_logs() as lines:
        async with house.client as client:
            response = await client.post(CHAT, json=chat(stream=True))
    assert response.status_code == 200
    assert [line["code"] for line in lines if line["event"] == "broken_stream"] == [code]
    last = response.text.rstrip("\n").rpartition("\n\n")[2]
    assert last.startswith('data: {"error":{"message":')
    assert f'"code":"{code}"' in last
    assert "[DONE]" not in response.text
    assert house.generator.under_way == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_takes_too_long_is_ended(stream: bool) -> None:
    house = House(EndlessGenerator(), settings=ServerSettings(max_stream_s=0.001))
    async with house.client as client:
        response = await client.post(CHAT, json=chat(stream=stream))
    assert HTTP_ERRORS[DeadlineExceeded].code in response.text
    assert response.status_code == (200 if stream else 504)
    assert house.generator.under_way == 0


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/embeddings", "/v1/chat/completions/", "/docs"])
async def test_an_unknown_path_says_where_to_go(path: str) -> None:
    async with House().client as client:
        response = await client.post(path, json=chat())
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_url"
    assert "POST /v1/completions" in response.json()["error"]["message"]
    assert CHAT in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", CHAT, "POST"), ("PUT", CHAT, "POST"), ("POST", "/v1/models", "GET, HEAD")],
)
async def test_a_wrong_method_says_which_one_is_right(method: str, path: str, allowed: str) -> None:
    async with House().client as client:
        response = await client.request(method, path)
    assert response.status_code == 405
    assert sorted(response.headers["allow"].split(", ")) == sorted(allowed.split(", "))
    assert response.json()["error"]["code"] == "method_not_allowed"
    assert response.headers["allow"] in response.json()["error"]["message"]


async def test_metrics_that_cannot_be_gathered_are_a_plain_failure() -> None:
    async def broken() -> bytes:
        raise RuntimeError("replica gone")

    async with House(metrics=broken).client as client:
        response = await client.get("/metrics")
    assert response.status_code == 500
    assert "replica gone" not in response.text
    assert response.json()["error"]["code"] == "engine_failed"
