"""Metrics of one process, by vLLM's names where it has one, so that its dashboards work here."""

import asyncio
from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serve_app.messages import EngineStats

TTFT_BUCKETS_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
                  7.5, 10.0, 20.0, 40.0, 80.0, 160.0)  # fmt: skip
ITL_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                 0.75, 1.0, 2.5)  # fmt: skip
E2E_BUCKETS_S = (0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0,
                 60.0, 120.0, 240.0, 480.0, 960.0)  # fmt: skip

_MODEL = ("model_name",)
_Family = GaugeMetricFamily | CounterMetricFamily


class Metrics:
    """The instruments of one process; made in it, for they do not travel between processes."""

    def __init__(self) -> None:
        # A start time beside every counter is not worth its bytes.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's omission
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        tasks = Gauge("glm_asyncio_tasks", "Tasks on the event loop", registry=self.registry)
        tasks.set_function(_tasks)
        self.http_requests = self._counter(
            "glm_http_requests", "HTTP requests answered", ("route", "method", "status")
        )
        self.verdicts = self._counter(
            "glm_guard_verdicts", "Decisions of the guards", ("side", "action")
        )
        self.successes = self._counter(
            "vllm:request_success", "Requests that ended, by reason", (*_MODEL, "finished_reason")
        )
        self.ttft = self._histogram(
            "vllm:time_to_first_token_seconds", "From admission to the first text", TTFT_BUCKETS_S
        )
        self.itl = self._histogram(
            "vllm:inter_token_latency_seconds",
            "Of every token after the first text; tokens that leave together share their time",
            ITL_BUCKETS_S,
        )
        self.e2e = self._histogram(
            "vllm:e2e_request_latency_seconds", "From admission to the end", E2E_BUCKETS_S
        )

    def watch(self, model: str, read: Callable[[], EngineStats]) -> None:
        """Export an engine's own numbers, read anew at every scrape."""
        self.registry.register(_EngineCollector(model, read))

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, _MODEL, registry=self.registry, buckets=buckets)


def _tasks() -> int:
    """On the loop that scrapes; a process without one has none."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


class _EngineCollector(Collector):
    def __init__(self, model: str, read: Callable[[], EngineStats]) -> None:
        self._model = model
        self._read = read

    def collect(self) -> Iterator[Metric]:
        stats = self._read()
        for name, text, gauge in (
            ("num_requests_running", "Requests in the batch", stats.running),
            ("num_requests_waiting", "Requests in the waiting line", stats.waiting),
            ("kv_cache_usage_perc", "Share of KV pages in use, 0 to 1", stats.kv_usage),
        ):
            yield self._sample(GaugeMetricFamily(f"vllm:{name}", text, labels=_MODEL), gauge)
        for name, text, count in (
            ("prefix_cache_queries", "Prompt tokens looked up", stats.prefix_cache_queried_tokens),
            ("prefix_cache_hits", "Prompt tokens found", stats.prefix_cache_hit_tokens),
            ("prompt_tokens", "Prompt tokens taken in", stats.prompt_tokens),
            ("generation_tokens", "Tokens generated", stats.generation_tokens),
            ("num_preemptions", "Requests sent back to the waiting line", stats.preemptions),
        ):
            yield self._sample(CounterMetricFamily(f"vllm:{name}", text, labels=_MODEL), count)

    def _sample(self, family: _Family, value: float) -> _Family:
        family.add_metric([self._model], value)
        return family
