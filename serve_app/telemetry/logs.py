"""Log lines: an event, its fields, and never a word of a prompt."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import orjson
import structlog

from serve_app.messages import Side
from serve_app.settings import LogSettings

FIELDS = frozenset(
    {
        "ts",
        "level",
        "event",
        "exc_info",
        # who and what
        "request_id",
        "tenant",
        "model",
        # the exchange
        "method",
        "route",
        "status",
        "code",
        "reason",
        # the answer
        *(f"{field}_{side}" for field in ("verdict", "rule") for side in Side),
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "finish_reason",
        "ttft_s",
        "duration_s",
        # an engine that is ready, and `duration_s` until it was
        "device",
        "card",
        "runner",
        "weights",
        "kv_dtype",
        "long_chunks",
        "tensor_parallel",
        "recordings",
        "kv_tokens",
        "host_kv_tokens",
        # a failure of ours
        "error",
        "detail",
    }
)
"""Whatever is not named here is not written; `unnamed` says what was held back."""

Log = structlog.typing.FilteringBoundLogger


def log() -> Log:
    """The process's log; `configure` decides where it goes."""
    logger: Log = structlog.get_logger()
    return logger


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send every line of this process to `stream`, or else to the file of the settings."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            only_named,
            *_rendering(settings),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_threshold(settings)),
        logger_factory=structlog.WriteLoggerFactory(file=stream or _open(settings)),
    )


def only_named(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep the fields that have a name here, so that no text slips out in a new one."""
    unnamed = sorted(line.keys() - FIELDS)
    for field in unnamed:
        del line[field]
    if unnamed:
        line["unnamed"] = unnamed
    return line


def _open(settings: LogSettings) -> TextIO:
    """Whole lines are appended, so processes may share the file."""
    return sys.stderr if settings.file is None else settings.file.open("a", buffering=1)


def _threshold(settings: LogSettings) -> int:
    return logging.getLevelNamesMapping()[settings.level.upper()]


def _rendering(settings: LogSettings) -> list[structlog.typing.Processor]:
    if settings.format == "json":
        as_json = structlog.processors.JSONRenderer(serializer=_json)
        return [structlog.processors.format_exc_info, as_json]
    plain = structlog.dev.plain_traceback  # the rich one shows local variables
    as_text = structlog.dev.ConsoleRenderer(
        colors=False, timestamp_key="ts", exception_formatter=plain
    )
    return [as_text]


def _json(line: Any, **_: Any) -> str:
    return orjson.dumps(line, default=str).decode()
