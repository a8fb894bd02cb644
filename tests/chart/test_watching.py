"""Alerts and dashboards ask for metrics that there are, and every alert is explained."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from k8s import exposition
from serve_app.messages import EngineStats
from serve_app.telemetry import Metrics
from tests.chart import helm
from tests.chart.helm import Object, objects, of_kind

CHART = helm.chart("glm-platform")
DOCUMENT = helm.ROOT / "docs" / "operations.md"
# glm_..., vllm:..., and what Prometheus knows of a target itself
METRIC = re.compile(r"\b(?:glm_|vllm:)\w+|\bup\b")
SUFFIXES = ("_bucket", "_sum", "_count", "_total")


@pytest.fixture(scope="module")
def platform() -> list[Object]:
    return objects("glm-platform", CHART / "ci" / "default-values.yaml")


@pytest.fixture(scope="module")
def alerts(platform: list[Object]) -> list[Object]:
    (rules,) = of_kind("PrometheusRule", platform)
    return [rule for group in rules["spec"]["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Names of all families that models and controller export."""
    metrics = Metrics()
    metrics.watch("glm-nano", EngineStats)
    text = metrics.exposition() + generate_latest(exposition.Metrics().registry)
    return {"up", *re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE)}


def asked(query: str) -> set[str]:
    return {*METRIC.findall(query)}


def unknown(query: str, exported: set[str]) -> set[str]:
    families = exported | {name + suffix for name in exported for suffix in SUFFIXES}
    return asked(query) - families


def test_alerts_ask_for_what_is_exported(alerts: list[Object], exported: set[str]) -> None:
    assert alerts
    assert [rule["alert"] for rule in alerts if unknown(rule["expr"], exported)] == []


@pytest.mark.parametrize(
    "file", sorted(CHART.glob("files/dashboards/*.json")), ids=lambda file: file.stem
)
def test_dashboards_ask_for_what_is_exported(file: Path, exported: set[str]) -> None:
    panels = json.loads(file.read_text(encoding="utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]

    assert queries
    assert [query for query in queries if unknown(query, exported)] == []


def test_every_alert_says_what_happened_and_is_explained(alerts: list[Object]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(Glm\w+)` \|", text, re.MULTILINE)

    assert {*explained} == {rule["alert"] for rule in alerts}
    assert all(rule["annotations"]["summary"].endswith(".") for rule in alerts)
    assert {rule["labels"]["severity"] for rule in alerts} == {"critical", "warning", "info"}


def test_braces_of_prometheus_come_through_the_templates(alerts: list[Object]) -> None:
    summaries = " ".join(rule["annotations"]["summary"] for rule in alerts)

    assert "{{ $labels.version }}" in summaries
    assert "`" not in summaries


@pytest.mark.parametrize(
    ("arguments", "monitored"),
    [
        (("--set", "monitoring.install=auto"), False),
        (("--set", "monitoring.install=auto", "--api-versions", "monitoring.coreos.com/v1"), True),
    ],
    ids=["without the operator", "with it"],
)
def test_monitors_come_where_their_kinds_are_known(
    arguments: tuple[str, ...], monitored: bool
) -> None:
    among = objects("glm-platform", CHART / "ci" / "default-values.yaml", *arguments)

    kinds = {each["kind"] for each in among}

    assert ({"PodMonitor", "PrometheusRule"} <= kinds) == monitored
