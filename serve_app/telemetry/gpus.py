"""Memory of the GPU that a process computes on, read anew at every scrape."""

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class GpuCollector(Collector):
    """Exports what `read` gives: bytes in use by anybody, bytes in all; nothing without a GPU."""

    def __init__(self, read: Callable[[], tuple[int, int] | None]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        memory = self._read()
        if memory is None:
            return
        used, total = memory
        yield GaugeMetricFamily("glm_gpu_memory_used_bytes", "In use, by whomever", used)
        yield GaugeMetricFamily("glm_gpu_memory_bytes", "Of the GPU", total)
