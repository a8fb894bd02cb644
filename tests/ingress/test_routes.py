import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from serve_app import __version__
from serve_app.settings import ServerSettings
from tests.fakes.generator import ScriptedGenerator
from tests.ingress.house import CARD, CHAT, House, chat

MODEL = {
    "id": "glm-nano",
    "object": "model",
    "created": CARD.created,
    "owned_by": "glm-serve",
    "max_model_len": 8192,
    "model_digest": CARD.digest,
}


async def test_models_are_listed_and_found_by_name() -> None:
    async with House().client as client:
        assert (await client.get("/v1/models")).json() == {"object": "list", "data": [MODEL]}
        assert (await client.get("/v1/models/glm-nano")).json() == MODEL


async def test_a_model_that_is_not_there_is_a_404_even_with_slashes() -> None:
    async with House().client as client:
        for name in ("gpt-5", "zai-org/glm-9b", "%2e%2e", ""):
            response = await client.get(f"/v1/models/{name}")
            assert response.status_code == 404
            assert response.json()["error"]["code"] == "model_not_found"


async def test_health_says_alive_whatever_the_engine_does() -> None:
    async def never_well() -> None:
        raise AssertionError

    async with House(probe=never_well).client as client:
        assert (await client.get("/health")).json() == {"status": "alive"}


async def test_version_tells_what_is_running() -> None:
    async with House().client as client:
        assert (await client.get("/version")).json() == {
            "version": __version__,
            "models": [{"name": "glm-nano", "digest": CARD.digest}],
        }


async def test_metrics_count_exchanges_by_template_and_never_by_path() -> None:
    house = House()
    async with house.client as client:
        await client.post(CHAT, json=chat())
        await client.get("/v1/models/secret-path")
        await client.get("/nowhere/secret-path")
        await client.request("BREW", "/health")
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = {
        family.name: family.samples for family in text_string_to_metric_families(response.text)
    }
    counted = [
        (sample.labels["route"], sample.labels["method"], sample.labels["status"])
        for sample in families["glm_http_requests"]
        if sample.value
    ]
    assert counted == [
        (CHAT, "POST", "200"),
        ("/v1/models/{name}", "GET", "404"),
        ("unknown", "GET", "404"),
        ("/health", "other", "405"),
    ]
    assert "secret-path" not in response.text


async def test_refusals_are_told_before_there_was_one() -> None:
    """Prometheus would not count the first: a canary that refuses begins with none."""
    async with House().client as client:
        text = (await client.get("/metrics")).text
    for status in (200, 400, 404, 413, 415, 503):
        labels = f'method="POST",route="{CHAT}",status="{status}"'
        assert f"glm_http_requests_total{{{labels}}} 0.0" in text


async def test_a_refusal_is_one_log_line_and_an_answer_another() -> None:
    house = House(ScriptedGenerator())
    with capture_logs() as lines:
        async with house.client as client:
            await client.post(CHAT, json=chat(n=0), headers={"x-request-id": "r-1"})
    assert lines == [
        {
            "event": "http",
            "log_level": "info",
            "request_id": "r-1",
            "route": CHAT,
            "method": "POST",
            "status": 400,
            "duration_s": 0.0,
            "code": "invalid_request",
            "reason": "'n' must be a whole number of at least 1.",
        }
    ]


@pytest.mark.parametrize("path", ["/v1/models", "/nowhere"])
async def test_every_answer_names_the_release_that_gave_it(path: str) -> None:
    house = House(settings=ServerSettings(version="v42"))
    async with house.client as client:
        assert (await client.get(path)).headers["x-model-version"] == "v42"


async def test_a_server_of_no_release_names_none() -> None:
    async with House().client as client:
        assert "x-model-version" not in (await client.get("/v1/models")).headers
