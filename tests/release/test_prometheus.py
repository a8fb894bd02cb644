"""Samples from what Prometheus answers."""

import math
import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from k8s.errors import Unreachable
from k8s.prometheus import Prometheus
from k8s.samples import Share
from serve_app.messages import Action, Side
from serve_app.telemetry import Exchanges, Metrics

ROUTES = (
    "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize", "/v1/models",
    "/v1/models/{name:path}", "/health", "/ready", "/metrics", "/version",
)  # fmt: skip
Series = list[tuple[dict[str, str], str]]
TTFT = "vllm:time_to_first_token_seconds_bucket"


def prometheus(answer: Callable[[str], Series], queries: list[str] | None = None) -> Prometheus:
    """A client of a server that answers as Prometheus does: strings, at a time."""

    def handle(request: httpx.Request) -> httpx.Response:
        query = request.url.params["query"]
        if queries is not None:
            queries.append(query)
        result = [{"metric": labels, "value": [1.7e9, value]} for labels, value in answer(query)]
        data = {"resultType": "vector", "result": result}
        return httpx.Response(200, json={"status": "success", "data": data})

    transport = httpx.MockTransport(handle)
    return Prometheus(httpx.Client(transport=transport), "http://prometheus")


def buckets(version: str, *counts: str) -> Series:
    bounds = ("0.1", "0.5", "+Inf")
    return [({"version": version, "le": le}, n) for le, n in zip(bounds, counts, strict=True)]


def test_counts_and_buckets_come_apart_by_version() -> None:
    def answer(query: str) -> Series:
        if "request_success" in query:
            return [
                ({"version": "v1", "finished_reason": "stop"}, "90"),
                ({"version": "v2", "finished_reason": "stop"}, "8"),
                ({"version": "v2", "finished_reason": "error"}, "2"),
            ]
        return buckets("v1", "50", "80", "90") if TTFT in query else []

    samples = prometheus(answer).samples(("v1", "v2"), 60)
    assert samples["v1"].requests == 90
    assert (samples["v2"].requests, samples["v2"].failed.hits) == (10, 2)
    assert samples["v1"].ttft is not None
    assert samples["v1"].ttft.counts == (50, 30, 10)
    assert samples["v2"].ttft is None


def test_no_number_is_no_data() -> None:
    def answer(query: str) -> Series:
        return [({"version": "v1", "finished_reason": "stop"}, "NaN")]

    assert prometheus(answer).samples(("v1",), 60)["v1"].requests == 0


def test_blocked_answers_are_those_of_all_that_were_screened() -> None:
    def answer(query: str) -> Series:
        if "glm_guard_verdicts" not in query:
            return []
        return [
            ({"version": "v1", "action": "allow"}, "95"),
            ({"version": "v1", "action": "block"}, "5"),
        ]

    sample = prometheus(answer).samples(("v1",), 60)["v1"]
    assert (sample.screened, sample.blocked) == (100, 5)


def test_answers_are_counted_by_their_status_and_probes_are_none() -> None:
    queries: list[str] = []

    def answer(query: str) -> Series:
        if "glm_http_requests" not in query:
            return []
        return [
            ({"version": "v1", "status": "200"}, "95"),
            ({"version": "v1", "status": "404"}, "5"),
        ]

    sample = prometheus(answer, queries).samples(("v1",), 60)["v1"]
    assert sample.answered_with("4") == Share(5, 100)
    (asked,) = (each for each in queries if "glm_http_requests" in each)
    (excluded,) = re.findall(r'route!~"([^"]*)"', asked)
    assert [route for route in ROUTES if not re.fullmatch(excluded, route)] == [
        "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize",
    ]  # fmt: skip


def test_a_versions_fullest_gpu_is_told() -> None:
    queries: list[str] = []

    def answer(query: str) -> Series:
        return [({"version": "v1"}, "0.75")] if "glm_gpu_memory" in query else []

    assert prometheus(answer, queries).samples(("v1",), 60)["v1"].gpu_memory == 0.75
    (asked,) = (each for each in queries if "gpu" in each)
    assert asked.startswith("max by (version) (max_over_time(glm_gpu_memory_used_bytes{")


def test_every_query_asks_for_both_versions_over_the_same_window() -> None:
    queries: list[str] = []
    source = prometheus(lambda _: [], queries)
    Prometheus(source.client, source.url, 'namespace="models"').samples(("v1", "v2"), 42.4)
    assert all('version=~"v1|v2"' in query for query in queries)
    assert all('namespace="models"' in query for query in queries)
    assert all("[42s]" in query for query in queries)


def told() -> Iterator[Callable[[httpx.Request], httpx.Response]]:
    yield lambda _: httpx.Response(503)
    yield lambda _: httpx.Response(200, text="<html>")
    yield lambda _: httpx.Response(200, json={"status": "error"})
    yield lambda _: httpx.Response(200, json=[1])

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    yield refuse


@pytest.mark.parametrize("handle", list(told()))
def test_whatever_is_no_answer_is_told_as_such(
    handle: Callable[[httpx.Request], httpx.Response],
) -> None:
    client = httpx.Client(transport=httpx.MockTransport(handle))
    with pytest.raises(Unreachable, match="Prometheus"):
        Prometheus(client, "http://prometheus").samples(("v1",), 60)


def test_every_metric_that_is_asked_for_is_one_that_the_server_exposes() -> None:
    """All but the scorer's."""
    queries: list[str] = []
    prometheus(lambda _: [], queries).samples(("v1",), 60)
    asked = {name for query in queries for name in re.findall(r"(?:vllm:|glm_)\w+", query)}
    exposed = exposition()
    for name in asked - {"glm_mirror_similarity_bucket"}:
        assert re.search(rf"^{re.escape(name)}[{{ ]", exposed, re.MULTILINE), name


def exposition() -> str:
    """Of a server that gave one answer."""
    metrics = Metrics()
    metrics.expect("glm-nano")
    Exchanges(metrics).expect("/v1/chat/completions")
    metrics.verdicts.labels(Side.OUTPUT, Action.ALLOW).inc()
    metrics.watch_gpus(lambda: [(60, 80)])
    for histogram in (metrics.ttft, metrics.itl, metrics.tpot, metrics.generated):
        histogram.labels(*histogram._labelnames).observe(math.e)
    return metrics.exposition().decode()
