"""Numbers from traces."""

from hypothesis import given
from hypothesis import strategies as st

from serve_app.cli.report import Trace, percentile, summarise

TRACES = [
    Trace(asked_at=0.0, texts_at=[0.25, 0.5, 1.0], tokens=10),
    Trace(asked_at=1.0, texts_at=[1.125, 1.25], tokens=6),
    Trace(asked_at=1.0, texts_at=[1.5], tokens=3, error="The line is full."),
    Trace(asked_at=2.0, error="The line is full."),
    Trace(asked_at=2.0, tokens=0),
]


def test_a_report_counts_good_answers_and_names_the_bad() -> None:
    report = summarise(TRACES, streams=2, seconds=4.0)

    assert (report.requests, report.tokens, report.tokens_per_s) == (5, 16, 4.0)
    assert (report.first_text_ms_p50, report.first_text_ms_p99) == (125.0, 250.0)
    assert (report.between_texts_ms_p50, report.between_texts_ms_p99) == (250.0, 500.0)
    assert report.errors == {"The line is full.": 2}


def test_a_report_of_failures_alone_claims_no_times() -> None:
    report = summarise([Trace(asked_at=0.0, error="gone")], streams=1, seconds=0.0)

    assert report.first_text_ms_p50 is None
    assert report.between_texts_ms_p99 is None
    assert report.tokens_per_s == 0.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], percent: int
) -> None:
    found = percentile(values, percent)

    assert found in values
    within = sum(value <= found for value in values)
    below = sum(value < found for value in values)
    assert below * 100 < len(values) * percent <= within * 100


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 50) is None
