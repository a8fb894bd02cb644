"""Memory of the GPUs that a replica computes on, read anew at every scrape."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Memory = tuple[int, int]  # bytes in use by anybody, bytes in all


class GpuCollector(Collector):
    """Exports what `read` gives of each GPU, in the order of the ranks; nothing without one."""

    def __init__(self, read: Callable[[], Sequence[Memory]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        cards = self._read()
        if not cards:
            return
        used = GaugeMetricFamily("glm_gpu_memory_used_bytes", "In use, by whomever", labels=["gpu"])
        whole = GaugeMetricFamily("glm_gpu_memory_bytes", "Of the GPU", labels=["gpu"])
        for card, (taken, total) in enumerate(cards):
            used.add_metric([str(card)], taken)
            whole.add_metric([str(card)], total)
        yield from (used, whole)
