"""One log line and a few numbers for every request, however it ends."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from serve_app.errors import HTTP_ERRORS, EngineFailed, Refused, ServeAppError
from serve_app.messages import (
    OPENING,
    UNKNOWN,
    Action,
    Channel,
    ChatRequest,
    Delta,
    Echo,
    Event,
    Finish,
    Queued,
    Request,
    Side,
    Usage,
    Verdict,
    refuses,
)
from serve_app.telemetry.logs import Log, log
from serve_app.telemetry.metrics import Metrics, labels

_BEFORE_TEXT: Final = (Queued, Echo)  # a union would be made anew for every token


class Records:
    """Opens a record for each request; `clock` counts seconds and never goes back."""

    def __init__(
        self,
        metrics: Metrics,
        logger: Log | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._log = logger or log()
        self._clock = clock
        self._expected: set[str] = set()

    def open(self, request: Request) -> "Record":
        if request.model not in self._expected:
            self._metrics.expect(request.model)
            self._expected.add(request.model)
        return Record(request, self._metrics, self._log, self._clock)


class Record:
    """What happened to one request: counts and reasons, never text."""

    def __init__(
        self, request: Request, metrics: Metrics, logger: Log, clock: Callable[[], float]
    ) -> None:
        self._request = request
        self._metrics = metrics
        self._labels = labels(request.model)
        self._log = logger.bind(
            request_id=request.request_id, tenant=request.caller.tenant, model=request.model
        )
        self._clock = clock
        self._started_s = self._last_s = clock()
        self._whose = {"lane": UNKNOWN, "tenant_class": UNKNOWN}  # until an engine tells
        self._gaps: list[tuple[float, int]] = []  # seconds a token, and how many tokens
        self._usage = Usage(0, 0)
        self._ttft_s: float | None = None
        self._first_tokens = 0  # that came with the first text
        self._verdicts: dict[Side, Verdict] = {}
        self._openings: dict[int, str] = {}  # of each answer under way
        self._unfinished = request.sampling.n
        self._finish: Finish | None = None  # of the choice that ended last
        self._error: BaseException | None = None
        self._closed = False

    def judged(self, side: Side, verdict: Verdict) -> None:
        """Of several answers to one request a blocked one is told."""
        self._metrics.verdicts.labels(side, verdict.action).inc()
        before = self._verdicts.get(side)
        if before is None or before.action is Action.ALLOW:
            self._verdicts[side] = verdict

    def sent(self, event: Event) -> None:
        if isinstance(event, _BEFORE_TEXT):
            return
        now_s = self._clock()
        tokens = event.usage.completion_tokens - self._usage.completion_tokens
        if self._ttft_s is not None:
            self._spread(now_s - self._last_s, tokens)
        elif not isinstance(event, Finish):
            self._ttft_s = now_s - self._started_s
            self._first_tokens = tokens
        self._last_s = now_s
        self._usage = event.usage
        if isinstance(event, Finish):
            self._finished(event)
        elif isinstance(event, Delta) and event.channel is Channel.CONTENT:
            self._hear(event)

    def _hear(self, delta: Delta) -> None:
        heard = self._openings.get(delta.choice, "")
        if len(heard) < OPENING:
            self._openings[delta.choice] = heard + delta.text

    def _spread(self, elapsed_s: float, tokens: int) -> None:
        """Tokens that came together share the time; whose they are is told at the end."""
        if tokens:
            self._gaps.append((elapsed_s / tokens, tokens))

    def _finished(self, finish: Finish) -> None:
        self._unfinished -= 1
        opening = self._openings.pop(finish.choice, "")[:OPENING]
        kind = "refused" if refuses(opening) else "answered"
        self._metrics.answers.labels(**self._labels, kind=kind).inc()
        if not self._unfinished:
            self._finish = finish
        if finish.times is None:
            return
        times, metrics = finish.times, self._metrics
        self._whose = {"lane": times.lane, "tenant_class": times.tenant_class}
        for histogram, seconds in (
            (metrics.queue, times.queue_s),
            (metrics.prefill, times.prefill_s),
            (metrics.decode, times.decode_s),
            (metrics.inference, times.prefill_s + times.decode_s),
        ):
            histogram.labels(**self._labels).observe(seconds)

    def failed(self, error: BaseException) -> None:
        self._error = error

    def close(self) -> None:
        """Write it down; a second close is nothing."""
        if self._closed:
            return
        self._closed = True
        duration_s = self._clock() - self._started_s
        self._count(duration_s)
        self._write(duration_s)

    def _count(self, duration_s: float) -> None:
        if isinstance(self._error, Refused):
            return
        metrics, labels = self._metrics, self._labels
        metrics.successes.labels(**labels, finished_reason=self._finished_reason()).inc()
        metrics.e2e.labels(**labels).observe(duration_s)
        if self._ttft_s is not None:
            self._count_latencies(self._ttft_s)
        if self._finish is not None:
            self._count_tokens()

    def _count_latencies(self, ttft_s: float) -> None:
        labels = self._labels | self._whose
        self._metrics.ttft.labels(**labels).observe(ttft_s)
        itl = self._metrics.itl.labels(**labels)
        for gap_s, tokens in self._gaps:
            for _ in range(tokens):
                itl.observe(gap_s)

    def _count_tokens(self) -> None:
        """Of answers that came to their end."""
        metrics, sampling = self._metrics, self._request.sampling
        labels = self._labels | self._whose
        generated = self._usage.completion_tokens
        metrics.prompt.labels(**labels).observe(self._usage.prompt_tokens)
        metrics.generated.labels(**labels).observe(generated)
        metrics.max_generated.labels(**labels).observe(sampling.max_tokens or generated)
        metrics.n.labels(**self._labels).observe(sampling.n)
        if sampling.max_tokens is not None:
            metrics.max_tokens.labels(**labels).observe(sampling.max_tokens)
        later = generated - self._first_tokens
        if self._ttft_s is not None and later > 0:
            elapsed_s = self._last_s - self._started_s - self._ttft_s
            metrics.tpot.labels(**labels).observe(elapsed_s / later)

    def _finished_reason(self) -> str:
        """How it ended, in the words of vLLM."""
        if self._finish is not None:
            return self._finish.reason
        return "abort" if _is_cancellation(self._error) else "error"

    def _write(self, duration_s: float) -> None:
        ours = self._error is not None and not isinstance(self._error, Refused)
        broken = ours and self._finish is None and not _is_cancellation(self._error)
        (self._log.error if broken else self._log.info)(
            "chat" if isinstance(self._request, ChatRequest) else "completion",
            **self._told(),
            **self._outcome(),
            prompt_tokens=self._usage.prompt_tokens,
            completion_tokens=self._usage.completion_tokens,
            cached_tokens=self._usage.cached_tokens,
            **({} if self._ttft_s is None else {"ttft_s": round(self._ttft_s, 6)}),
            duration_s=round(duration_s, 6),
        )

    def _told(self) -> dict[str, str]:
        actions = {f"verdict_{side}": str(each.action) for side, each in self._verdicts.items()}
        rules = {f"rule_{side}": each.rule for side, each in self._verdicts.items() if each.rule}
        return actions | rules

    def _outcome(self) -> dict[str, str]:
        if self._finish is not None:
            return {"finish_reason": self._finish.reason}
        if _is_cancellation(self._error):
            return {"code": "cancelled"}
        return {"code": _code(self._error), "error": type(self._error).__name__}


def _is_cancellation(error: BaseException | None) -> bool:
    return isinstance(error, asyncio.CancelledError | GeneratorExit)


def _code(error: BaseException | None) -> str:
    """The code the caller sees; whatever is not ours counts as a failure of the engine."""
    known = type(error) if isinstance(error, ServeAppError) else EngineFailed
    return HTTP_ERRORS.get(known, HTTP_ERRORS[EngineFailed]).code
