"""The statistics behind the gates, held to numbers from tables and to simulated releases."""

import random

import pytest

from k8s.evidence import (
    distance,
    distributions_differ,
    mixes_differ,
    surely_over,
    total_variation,
    upper_quantile,
    upper_share,
)
from k8s.samples import Histogram

BOUNDS = (0.1, 0.2, 0.4, 0.8, float("inf"))


def histogram(*counts: float) -> Histogram:
    return Histogram(BOUNDS, counts)


def test_no_failures_in_thirty_requests_may_still_be_one_in_ten() -> None:
    """The rule of three: 3 / n is the upper end at 95 %."""
    assert upper_share(0, 30) == pytest.approx(0.095, abs=0.001)
    assert upper_share(0, 3000) == pytest.approx(0.001, abs=0.0001)


def test_without_data_nothing_is_known() -> None:
    assert upper_share(0, 0) == 1.0
    assert upper_quantile(histogram(0, 0, 0, 0, 0), 0.95) == float("inf")
    assert not surely_over(0, 0, 0.01, 0.01)


def test_five_of_five_failures_prove_it_and_one_of_five_does_not() -> None:
    assert surely_over(5, 5, 0.01, 1e-4)
    assert not surely_over(1, 5, 0.01, 1e-4)


def test_a_share_at_its_limit_is_rarely_refused_however_often_one_looks() -> None:
    """Sixty looks, alpha 5 % over all of them: of 200 good releases 10, and some for chance."""
    chance = random.Random(7)
    refused = 0
    for _ in range(200):
        hits, alarms = 0, 0
        for look in range(1, 61):
            hits += sum(chance.random() < 0.05 for _ in range(20))
            alarms += surely_over(hits, look * 20, 0.05, 0.05 / 60)
        refused += alarms > 0
    assert refused <= 14


def test_a_share_ten_times_over_its_limit_is_found_within_two_hundred_requests() -> None:
    chance = random.Random(3)
    for _ in range(50):
        hits = sum(chance.random() < 0.1 for _ in range(200))
        assert surely_over(hits, 200, 0.01, 0.01 / 60)


def test_quantiles_are_interpolated_as_prometheus_does() -> None:
    assert histogram(50, 50, 0, 0, 0).quantile(0.5) == pytest.approx(0.1)
    assert histogram(0, 100, 0, 0, 0).quantile(0.5) == pytest.approx(0.15)
    assert histogram(0, 0, 0, 0, 10).quantile(0.5) == pytest.approx(0.8)


def test_the_upper_end_of_a_percentile_is_above_it_and_comes_nearer_with_more_data() -> None:
    few, many = histogram(90, 8, 2, 0, 0), histogram(9000, 800, 200, 0, 0)
    exact = many.quantile(0.95)
    assert exact < upper_quantile(many, 0.95) < upper_quantile(few, 0.95)


def test_only_whole_buckets_count_as_over_or_up_to_a_bound() -> None:
    counts = histogram(1, 2, 4, 8, 16)
    assert counts.over(0.2) == 28
    assert counts.over(0.3) == 24
    assert counts.up_to(0.2) == 3
    assert counts.up_to(0.3) == 3


def test_cumulative_buckets_become_counts_and_never_negative_ones() -> None:
    made = Histogram.of({0.1: 5.0, 0.2: 4.99, float("inf"): 9.0})
    assert made.counts[1] == 0.0
    assert made.bounds[-1] == float("inf")


def test_mixes_and_distributions_that_are_alike_do_not_differ() -> None:
    assert not mixes_differ([90, 10], [900, 100], 0.01)
    assert not distributions_differ(histogram(50, 50, 0, 0, 0), histogram(500, 500, 0, 0, 0), 0.01)


def test_mixes_and_distributions_that_are_apart_differ() -> None:
    assert total_variation([90, 10], [10, 90]) == pytest.approx(0.8)
    assert mixes_differ([90, 10], [100, 900], 0.001)
    assert distance(histogram(100, 0, 0, 0, 0), histogram(0, 0, 0, 100, 0)) == pytest.approx(1.0)
    assert distributions_differ(histogram(100, 0, 0, 0, 0), histogram(0, 0, 0, 100, 0), 0.001)


def test_one_reason_alone_is_no_mix() -> None:
    assert not mixes_differ([100], [900], 0.01)
    assert not mixes_differ([100, 0], [900, 1], 0.01)
