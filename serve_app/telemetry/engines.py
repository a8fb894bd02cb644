"""An engine's own numbers, read anew at every scrape."""

import itertools
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from serve_app.messages import EngineStats
from serve_app.telemetry.buckets import STEP_TOKENS

_Family = GaugeMetricFamily | CounterMetricFamily


class EngineCollector(Collector):
    """Exports what `read` gives, under the labels that all metrics of a model have."""

    def __init__(self, labels: dict[str, str], read: Callable[[], EngineStats]) -> None:
        self._names = tuple(labels)
        self._values = tuple(labels.values())
        self._read = read

    def collect(self) -> Iterator[Metric]:
        stats = self._read()
        for name, text, gauge in (
            ("vllm:num_requests_running", "Requests in the batch", stats.running),
            ("vllm:num_requests_waiting", "Requests in the waiting line", stats.waiting),
            ("vllm:kv_cache_usage_perc", "Share of KV pages in use, 0 to 1", stats.kv_usage),
            (
                "vllm:kv_offload_cpu_cache_usage_perc",
                "Share of the KV pages in host memory that hold something, 0 to 1",
                stats.host_usage,
            ),
            ("glm_waiting_tokens", "Prompt tokens in that line, to compute", stats.waiting_tokens),
            ("glm_kernels_unused", "Whether a GPU goes without its kernels", stats.kernels_unused),
        ):
            yield self._sample(GaugeMetricFamily(name, text, labels=self._names), gauge)
        for name, text, count in (
            (
                "vllm:prefix_cache_queries",
                "Prompt tokens looked up",
                stats.prefix_cache_queried_tokens,
            ),
            ("vllm:prefix_cache_hits", "Prompt tokens found", stats.prefix_cache_hit_tokens),
            (
                "vllm:external_prefix_cache_queries",
                "Prompt tokens looked up in host memory",
                stats.host_queried_tokens,
            ),
            (
                "vllm:external_prefix_cache_hits",
                "Prompt tokens found in host memory",
                stats.host_hit_tokens,
            ),
            (
                "glm_kv_offload_stored_tokens",
                "Tokens whose KV was put into host memory",
                stats.host_stored_tokens,
            ),
            ("vllm:prompt_tokens", "Prompt tokens taken in", stats.prompt_tokens),
            (
                "vllm:prompt_tokens_cached",
                "Prompt tokens not computed",
                stats.prefix_cache_hit_tokens + stats.host_hit_tokens,
            ),
            ("vllm:generation_tokens", "Tokens generated", stats.generation_tokens),
            ("vllm:num_preemptions", "Requests sent back to the waiting line", stats.preemptions),
            ("glm_requests_expired", "Requests not begun by their deadline", stats.expired),
        ):
            yield self._sample(CounterMetricFamily(name, text, labels=self._names), count)
        yield self._steps(stats)
        yield self._waiting_by_reason(stats)
        yield self._lanes(stats)

    def _sample(self, family: _Family, value: float, *more: str) -> _Family:
        family.add_metric([*self._values, *more], value)
        return family

    def _steps(self, stats: EngineStats) -> Metric:
        name, text = "vllm:iteration_tokens_total", "Tokens computed in each forward pass"
        family = HistogramMetricFamily(name, text, labels=self._names)
        counts = dict(stats.steps_by_size)
        so_far = itertools.accumulate(counts.get(n, 0) for n in range(len(STEP_TOKENS)))
        bounds = [f"{bound:.1f}" for bound in STEP_TOKENS]
        buckets = [*zip(bounds, so_far, strict=True), ("+Inf", stats.steps)]
        family.add_metric(self._values, buckets, stats.step_tokens)
        return family

    def _waiting_by_reason(self, stats: EngineStats) -> Metric:
        """Nothing waits here but for room: there are no adapters and no caches elsewhere."""
        name, text = "vllm:num_requests_waiting_by_reason", "Requests in the waiting line, and why"
        family = GaugeMetricFamily(name, text, labels=(*self._names, "reason"))
        self._sample(family, stats.waiting, "capacity")
        return self._sample(family, 0, "deferred")

    def _lanes(self, stats: EngineStats) -> Metric:
        labels = (*self._names, "lane", "tenant_class", "state")
        family = GaugeMetricFamily("glm_lane_requests", "Requests by lane", labels=labels)
        for each in stats.lanes:
            self._sample(family, each.running, each.lane, each.tenant_class, "running")
            self._sample(family, each.waiting, each.lane, each.tenant_class, "waiting")
        return family
