"""What is written about requests: every metric and log field is named once, in this room."""

from serve_app.telemetry.exchanges import Exchanges
from serve_app.telemetry.exposition import merge
from serve_app.telemetry.logs import Log, configure, log
from serve_app.telemetry.metrics import Metrics
from serve_app.telemetry.records import Records

__all__ = ["Exchanges", "Log", "Metrics", "Records", "configure", "log", "merge"]
