import asyncio
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from serve_app.errors import Blocked, EngineFailed, Overloaded
from serve_app.messages import (
    ALLOWED,
    Action,
    Caller,
    Channel,
    ChatRequest,
    CompletionRequest,
    Delta,
    Echo,
    Finish,
    FinishReason,
    Message,
    Queued,
    Role,
    Sampling,
    Side,
    Times,
    Usage,
    Verdict,
)
from serve_app.telemetry import Metrics, Records

PRIVATE = "what-nobody-else-may-read"
REQUEST = ChatRequest("r-1", "glm-nano", (Message(Role.USER, PRIVATE),), Sampling(), Caller("acme"))
CLASSED = (
    "vllm:time_to_first_token",
    "vllm:inter_token_latency",
    "vllm:request_time_per_output_token",
    "vllm:request_prompt_tokens",
    "vllm:request_generation_tokens",
)
BOUND = {"request_id": "r-1", "tenant": "acme", "model": "glm-nano", "event": "chat"}


class Desk:
    """Records over instruments of their own, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.now_s = 50.0
        self.records = Records(self.metrics, clock=lambda: self.now_s)

    def value(self, name: str, **labels: str) -> float | None:
        whose = {"lane": "unknown", "tenant_class": "unknown"} if name.startswith(CLASSED) else {}
        named = {"model_name": "glm-nano", "engine": "0", **whose, **labels}
        return self.metrics.registry.get_sample_value(name, named)

    def verdicts(self, side: str, action: str) -> float | None:
        labels = {"side": side, "action": action}
        return self.metrics.registry.get_sample_value("glm_guard_verdicts_total", labels)


def write(desk: Desk, *errors: BaseException) -> dict[str, Any]:
    """The line of a request that only failed."""
    with capture_logs() as lines:
        record = desk.records.open(REQUEST)
        for error in errors:
            record.failed(error)
        record.close()
        record.close()
    (line,) = lines
    return line


def test_an_answered_request_is_one_line_without_text() -> None:
    desk = Desk()
    with capture_logs() as lines:
        record = desk.records.open(REQUEST)
        record.judged(Side.INPUT, ALLOWED)
        desk.now_s += 0.25
        record.sent(Delta(PRIVATE, Usage(7, 1, 4)))
        desk.now_s += 0.5
        record.sent(Delta(PRIVATE, Usage(7, 3, 4)))
        record.judged(Side.OUTPUT, ALLOWED)
        record.sent(Finish(FinishReason.STOP, Usage(7, 3, 4)))
        desk.now_s += 0.25
        record.close()
    assert lines == [
        {
            **BOUND,
            "log_level": "info",
            "verdict_input": "allow",
            "verdict_output": "allow",
            "finish_reason": "stop",
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "cached_tokens": 4,
            "ttft_s": 0.25,
            "duration_s": 1.0,
        }
    ]
    assert PRIVATE not in str(lines)


def test_an_answered_request_is_counted_by_the_names_of_vllm() -> None:
    desk = Desk()
    record = desk.records.open(REQUEST)
    desk.now_s += 0.25
    record.sent(Delta("a", Usage(7, 1)))
    desk.now_s += 0.5
    record.sent(Delta("bc", Usage(7, 3)))
    record.sent(Finish(FinishReason.LENGTH, Usage(7, 3)))
    record.close()
    assert desk.value("vllm:request_success_total", finished_reason="length") == 1
    assert desk.value("vllm:time_to_first_token_seconds_sum") == 0.25
    assert desk.value("vllm:inter_token_latency_seconds_sum") == 0.5
    assert desk.value("vllm:inter_token_latency_seconds_count") == 2
    assert desk.value("vllm:e2e_request_latency_seconds_sum") == 0.75


def test_no_way_to_end_appears_out_of_nothing() -> None:
    """Prometheus would not see the first of them."""
    desk = Desk()
    desk.records.open(REQUEST)
    reasons = ("stop", "length", "tool_calls", "content_filter", "abort", "error")
    assert {desk.value("vllm:request_success_total", finished_reason=each) for each in reasons} == {
        0
    }


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
def test_a_request_that_was_left_is_cancelled_not_failed(error: BaseException) -> None:
    desk = Desk()
    line = write(desk, error)
    assert (line["log_level"], line["code"]) == ("info", "cancelled")
    assert desk.value("vllm:request_success_total", finished_reason="abort") == 1


def test_a_caller_who_leaves_after_the_end_has_been_answered() -> None:
    desk = Desk()
    with capture_logs() as lines:
        record = desk.records.open(REQUEST)
        record.sent(Finish(FinishReason.STOP, Usage(7, 0)))
        record.failed(GeneratorExit())
        record.close()
    assert lines[0]["finish_reason"] == "stop"
    assert "ttft_s" not in lines[0]
    assert desk.value("vllm:time_to_first_token_seconds_count") is None
    assert desk.value("vllm:request_success_total", finished_reason="stop") == 1
    assert desk.value("vllm:request_success_total", finished_reason="abort") == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded("Full."), "overloaded"),
        (EngineFailed("x"), "engine_failed"),
        (KeyError(PRIVATE), "engine_failed"),
    ],
)
def test_a_failure_of_ours_is_an_error_with_its_code(error: Exception, code: str) -> None:
    desk = Desk()
    line = write(desk, error)
    assert (line["log_level"], line["code"]) == ("error", code)
    assert line["error"] == type(error).__name__
    assert PRIVATE not in str(line)
    assert desk.value("vllm:request_success_total", finished_reason="error") == 1


def test_a_blocked_conversation_is_told_with_its_rule_and_is_no_failure() -> None:
    desk = Desk()
    with capture_logs() as lines:
        record = desk.records.open(REQUEST)
        record.judged(Side.INPUT, Verdict(Action.BLOCK, "words.txt:3"))
        record.failed(Blocked("No.", "messages"))
        record.close()
    (line,) = lines
    assert (line["log_level"], line["code"]) == ("info", "content_filter")
    assert (line["verdict_input"], line["rule_input"]) == ("block", "words.txt:3")
    assert desk.verdicts("input", "block") == 1
    assert desk.value("vllm:request_success_total", finished_reason="error") == 0


def test_a_record_is_written_once_however_often_it_is_closed() -> None:
    desk = Desk()
    write(desk, GeneratorExit())
    assert desk.value("vllm:e2e_request_latency_seconds_count") == 1


def test_where_the_time_of_a_choice_went_is_counted_as_the_engine_measured_it() -> None:
    desk = Desk()
    record = desk.records.open(REQUEST)
    record.sent(Finish(FinishReason.STOP, Usage(7, 1), times=Times(1.0, 2.0, 4.0)))
    record.close()
    assert desk.value("vllm:request_queue_time_seconds_sum") == 1
    assert desk.value("vllm:request_prefill_time_seconds_sum") == 2
    assert desk.value("vllm:request_decode_time_seconds_sum") == 4
    assert desk.value("vllm:request_inference_time_seconds_sum") == 6


def test_latencies_and_tokens_are_told_by_lane_and_class_of_tenant() -> None:
    desk = Desk()
    record = desk.records.open(REQUEST)
    desk.now_s += 1
    record.sent(Delta("a", Usage(7, 1)))
    desk.now_s += 2
    record.sent(Delta("bc", Usage(7, 3)))
    times = Times(0.1, 0.9, 2.0, "long", "2")
    record.sent(Finish(FinishReason.STOP, Usage(7, 3), times=times))
    record.close()
    whose = {"lane": "long", "tenant_class": "2"}
    assert desk.value("vllm:time_to_first_token_seconds_sum", **whose) == 1
    assert desk.value("vllm:inter_token_latency_seconds_sum", **whose) == 2
    assert desk.value("vllm:inter_token_latency_seconds_count", **whose) == 2
    assert desk.value("vllm:request_time_per_output_token_seconds_sum", **whose) == 1
    assert desk.value("vllm:request_prompt_tokens_sum", **whose) == 7
    assert desk.value("vllm:request_generation_tokens_sum", **whose) == 3


def test_the_time_of_a_token_is_the_mean_over_those_after_the_first_text() -> None:
    desk = Desk()
    record = desk.records.open(REQUEST)
    record.sent(Delta("ab", Usage(7, 2)))
    desk.now_s += 3
    record.sent(Finish(FinishReason.STOP, Usage(7, 5)))
    record.close()
    assert desk.value("vllm:request_time_per_output_token_seconds_sum") == 1
    assert desk.value("vllm:request_generation_tokens_sum") == 5


def test_an_answer_of_several_choices_has_ended_with_the_last() -> None:
    desk = Desk()
    several = replace(REQUEST, sampling=Sampling(n=2))
    record = desk.records.open(several)
    record.sent(Finish(FinishReason.STOP, Usage(7, 1)))
    record.failed(EngineFailed("x"))
    record.close()
    assert desk.value("vllm:request_success_total", finished_reason="error") == 1
    assert desk.value("vllm:request_success_total", finished_reason="stop") == 0


def test_of_several_verdicts_the_block_is_told() -> None:
    with capture_logs() as lines:
        record = Desk().records.open(REQUEST)
        record.judged(Side.OUTPUT, Verdict(Action.BLOCK, "words.txt:3"))
        record.judged(Side.OUTPUT, ALLOWED)
        record.close()
    assert (lines[0]["verdict_output"], lines[0]["rule_output"]) == ("block", "words.txt:3")


def test_a_text_completion_has_a_line_of_its_own_name() -> None:
    request = CompletionRequest("r-1", "glm-nano", PRIVATE, Sampling())
    with capture_logs() as lines:
        Desk().records.open(request).close()
    assert lines[0]["event"] == "completion"
    assert PRIVATE not in str(lines)


def test_a_place_in_the_line_and_an_echo_are_no_first_text() -> None:
    desk = Desk()
    record = desk.records.open(REQUEST)
    record.sent(Queued(3, 1.0))
    record.sent(Echo("hi"))
    desk.now_s += 2
    record.sent(Delta("a", Usage(7, 1)))
    record.close()
    assert desk.value("vllm:time_to_first_token_seconds_sum") == 2


@pytest.mark.parametrize(
    ("pieces", "refused"),
    [
        (("I'm so", "rry, I ca", "nnot."), 1),
        (("The capital of France", " is Paris."), 0),
        (("抱", "歉。"), 1),
        (("Paris. " * 40, "I cannot say more."), 0),  # only how it opens
    ],
)
def test_answers_that_open_with_a_refusal_are_counted_and_no_text_is_kept(
    pieces: tuple[str, ...], refused: int
) -> None:
    desk = Desk()
    with capture_logs() as lines:
        record = desk.records.open(REQUEST)
        for piece in pieces:
            record.sent(Delta(piece, Usage(7, 1)))
        record.sent(Delta("I cannot", Usage(7, 1), channel=Channel.REASONING))
        record.sent(Finish(FinishReason.STOP, Usage(7, 2)))
        record.close()
    assert desk.value("glm_answers_total", kind="refused") == refused
    assert desk.value("glm_answers_total", kind="answered") == 1 - refused
    assert not any(piece in str(lines) for piece in pieces)


def test_each_of_several_answers_is_counted_for_itself() -> None:
    desk = Desk()
    record = desk.records.open(replace(REQUEST, sampling=Sampling(n=2)))
    for choice, text in ((0, "I do not "), (1, "Paris"), (0, "know.")):
        record.sent(Delta(text, Usage(7, 1), choice=choice))
    for choice in (1, 0):
        record.sent(Finish(FinishReason.STOP, Usage(7, 2), choice=choice))
    record.close()
    assert desk.value("glm_answers_total", kind="refused") == 1
    assert desk.value("glm_answers_total", kind="answered") == 1
