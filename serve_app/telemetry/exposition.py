"""Prometheus texts of several processes, made into one."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


def merge(expositions: Mapping[str, bytes]) -> bytes:
    """One text from many, grouped by family; label `replica` says whose sample it is."""
    families: dict[str, Metric] = {}
    for replica, text in expositions.items():
        for family in text_string_to_metric_families(text.decode()):
            whole = families.setdefault(family.name, _empty(family))
            for sample in family.samples:
                labels = {**sample.labels, "replica": replica}
                whole.add_sample(sample.name, labels, sample.value)
    registry = CollectorRegistry()
    registry.register(_Parsed(families.values()))
    return generate_latest(registry)


def _empty(family: Metric) -> Metric:
    return Metric(family.name, family.documentation, family.type)


class _Parsed(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
