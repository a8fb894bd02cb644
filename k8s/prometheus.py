"""Prometheus: what two versions did over the same minutes.

Names are those of `serve_app/telemetry`; a scrape labels every series with its `version`. The
window ends at Prometheus' own now, so a wrong clock here does not matter.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from k8s.errors import Unreachable
from k8s.samples import Histogram, Sample

_NO_USERS: Final = "/health|/metrics|/ready|/version|/v1/models.*"
_COUNTS: Final = {
    "finished": ("vllm:request_success_total", "finished_reason"),
    "answered": (f'glm_http_requests_total{{route!~"{_NO_USERS}"}}', "status"),
    "answers": ("glm_answers_total", "kind"),
    "screened": ('glm_guard_verdicts_total{side="output"}', "action"),
}
_HISTOGRAMS: Final = {
    "ttft": "vllm:time_to_first_token_seconds_bucket",
    "itl": "vllm:inter_token_latency_seconds_bucket",
    "tpot": "vllm:request_time_per_output_token_seconds_bucket",
    "lengths": "vllm:request_generation_tokens_bucket",
    "similarity": "glm_mirror_similarity_bucket",
}
_USED, _ALL = "glm_gpu_memory_used_bytes", "glm_gpu_memory_bytes"
_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Asks one server; `selector` narrows every query, such as `namespace="models"`."""

    client: httpx.Client
    url: str
    selector: str = ""

    def samples(self, versions: tuple[str, ...], window_s: float) -> Mapping[str, Sample]:
        """Of each version over the last `window_s`; raises Unreachable."""
        found: dict[str, dict[str, Any]] = {each: {} for each in versions}
        window = f"{max(round(window_s), 1)}s"
        for field, (metric, label) in _COUNTS.items():
            for version, by_label in self._by(metric, label, versions, window):
                found[version][field] = by_label
        for field, metric in _HISTOGRAMS.items():
            for version, by_bound in self._by(metric, "le", versions, window):
                cumulative = {float(bound): count for bound, count in by_bound.items()}
                found[version][field] = Histogram.of(cumulative)
        for version, share in self._gpu_memory(versions, window).items():
            found[version]["gpu_memory"] = share
        return {version: _sample(fields) for version, fields in found.items()}

    def _by(
        self, metric: str, label: str, versions: tuple[str, ...], window: str
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Increases by version, then by a label; a version without data is not told."""
        selected = self._selected(metric, versions)
        query = f"sum by (version, {label}) (increase({selected}[{window}]))"
        grouped: dict[str, dict[str, float]] = {}
        for labels, value in self._ask(query):
            grouped.setdefault(labels["version"], {})[labels.get(label, "")] = value
        yield from grouped.items()

    def _gpu_memory(self, versions: tuple[str, ...], window: str) -> dict[str, float]:
        used, whole = (self._selected(each, versions) for each in (_USED, _ALL))
        share = f"max_over_time({used}[{window}]) / {whole}"
        return {
            labels["version"]: value for labels, value in self._ask(f"max by (version) ({share})")
        }

    def _selected(self, metric: str, versions: tuple[str, ...]) -> str:
        name, _, given = metric.rstrip("}").partition("{")
        chosen = f'version=~"{"|".join(versions)}"'
        return f"{name}{{{', '.join(filter(None, (chosen, given, self.selector)))}}}"

    def _ask(self, query: str) -> Iterator[tuple[dict[str, str], float]]:
        """An instant vector without its NaNs: a number that is none is no data."""
        try:
            response = self.client.get(
                f"{self.url}/api/v1/query", params={"query": query}, timeout=_TIMEOUT_S
            )
            response.raise_for_status()
            result = response.json()["data"]["result"]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Unreachable(f"Prometheus does not answer ({type(error).__name__})") from error
        for series in result:
            value = float(series["value"][1])
            if math.isfinite(value):
                yield series["metric"], value


def _sample(fields: dict[str, Any]) -> Sample:
    screened: dict[str, float] | None = fields.pop("screened", None)
    if screened is not None:
        fields["screened"] = sum(screened.values())
        fields["blocked"] = screened.get("block", 0.0)
    return Sample(**fields)
