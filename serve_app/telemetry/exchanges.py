"""HTTP exchanges, counted and, where refused, written down."""

from serve_app.errors import HTTP_ERRORS
from serve_app.telemetry.logs import Log, log
from serve_app.telemetry.metrics import Metrics

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_ANSWERED, _FIRST_REFUSAL = 200, 400


class Exchanges:
    """Sees the end of every HTTP exchange."""

    def __init__(self, metrics: Metrics, logger: Log | None = None) -> None:
        self._counter = metrics.http_requests
        self._log = logger or log()

    def expect(self, route: str) -> None:
        """Tell every way in which a POST there can be answered, before one was.

        Prometheus sees a count that rises, not one that is there for the first time.
        """
        for status in sorted({_ANSWERED, *(error.status for error in HTTP_ERRORS.values())}):
            self._counter.labels(route, "POST", status)

    def ended(
        self,
        *,
        request_id: str,
        route: str,
        method: str,
        status: int,
        duration_s: float,
        code: str | None = None,
        reason: str | None = None,
    ) -> None:
        """`route` is a template, never a path: paths are the caller's and without number.

        `code` and `reason` say why there was no answer, without a word of the caller's.
        """
        told = {"code": code, "reason": reason}
        self._counter.labels(route, method if method in _METHODS else "other", status).inc()
        write = self._log.info if status >= _FIRST_REFUSAL else self._log.debug
        write(
            "http",
            request_id=request_id,
            route=route,
            method=method,
            status=status,
            duration_s=round(duration_s, 6),
            **{name: value for name, value in told.items() if value is not None},
        )
