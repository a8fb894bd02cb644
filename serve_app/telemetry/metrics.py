"""Metrics of one process, by vLLM's names where it has one, so that its dashboards work here."""

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from serve_app.messages import EngineStats, FinishReason
from serve_app.telemetry import buckets
from serve_app.telemetry.engines import EngineCollector
from serve_app.telemetry.gpus import GpuCollector, Memory

LABELS = ("model_name", "engine")
CLASSED = (*LABELS, "lane", "tenant_class")  # what is told by whose it is, too
_REASONS = (*FinishReason, "abort", "error")
_KINDS = ("answered", "refused")
_ENGINE = "0"  # vLLM numbers the engines behind one door; ours are told apart by `replica`


def labels(model: str) -> dict[str, str]:
    """What every metric of a model is labelled with, as vLLM's are."""
    return dict(zip(LABELS, (model, _ENGINE), strict=True))


class Metrics:
    """The instruments of one process; made in it, for they do not travel between processes."""

    def __init__(self) -> None:
        # A start time beside every counter is not worth its bytes.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's omission
        self.registry = CollectorRegistry()
        self._engines: dict[str, EngineCollector] = {}
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
            "vllm:request_success", "Requests that ended, by reason", (*LABELS, "finished_reason")
        )
        self.answers = self._counter(
            "glm_answers",
            "Answers that ended, by whether they open with a refusal",
            (*LABELS, "kind"),
        )
        self.ttft = self._histogram(
            "vllm:time_to_first_token_seconds",
            "From admission to the first text",
            buckets.TTFT_S,
            CLASSED,
        )
        self.itl = self._histogram(
            "vllm:inter_token_latency_seconds",
            "Of every token after the first text; tokens that leave together share their time",
            buckets.TOKEN_S,
            CLASSED,
        )
        self.tpot = self._histogram(
            "vllm:request_time_per_output_token_seconds",
            "Mean over the tokens of a request after its first text",
            buckets.TOKEN_S,
            CLASSED,
        )
        self.e2e = self._of_request("e2e_request_latency", "From admission to the end")
        self.queue = self._of_request("request_queue_time", "In the waiting line")
        self.prefill = self._of_request("request_prefill_time", "From the batch to the first token")
        self.decode = self._of_request("request_decode_time", "From the first token to the last")
        self.inference = self._of_request("request_inference_time", "In the batch")
        self.prompt = self._of_tokens("request_prompt_tokens", "Tokens of a prompt")
        self.generated = self._of_tokens("request_generation_tokens", "Tokens of all its answers")
        self.max_generated = self._of_tokens(
            "request_max_num_generation_tokens", "Tokens of the longest answer, at most"
        )
        self.max_tokens = self._of_tokens("request_params_max_tokens", "max_tokens where stated")
        self.n = self._histogram("vllm:request_params_n", "Answers asked for", buckets.CHOICES)

    def expect(self, model: str) -> None:
        """Tell every way in which its requests and answers can end, before one did.

        Prometheus sees a count that rises, not one that is there for the first time: of a model
        that fails seldom the first failures would be lost.
        """
        for reason in _REASONS:
            self.successes.labels(**labels(model), finished_reason=reason)
        for kind in _KINDS:
            self.answers.labels(**labels(model), kind=kind)

    def watch(self, model: str, read: Callable[[], EngineStats]) -> None:
        """Export an engine's own numbers, read anew at every scrape."""
        self._engines[model] = EngineCollector(labels(model), read)
        self.registry.register(self._engines[model])

    def unwatch(self, model: str) -> None:
        """Forget an engine that was watched."""
        self.registry.unregister(self._engines.pop(model))

    def watch_gpus(self, read: Callable[[], Sequence[Memory]]) -> None:
        """Export the memory of this replica's GPUs, as far as it has any."""
        self.registry.register(GpuCollector(read))

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _of_request(self, name: str, text: str) -> Histogram:
        return self._histogram(f"vllm:{name}_seconds", text, buckets.REQUEST_S)

    def _of_tokens(self, name: str, text: str) -> Histogram:
        return self._histogram(f"vllm:{name}", text, buckets.TOKENS, CLASSED)

    def _histogram(
        self, name: str, text: str, bounds: tuple[float, ...], labels: tuple[str, ...] = LABELS
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=bounds)


def _tasks() -> int:
    """On the loop that scrapes; a process without one has none."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
