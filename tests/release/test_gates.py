"""Gates: what refuses a candidate, what lets it pass, and what can only wait."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from k8s.checks import Facts
from k8s.gates import GATES, judge
from k8s.road import UNDER_WAY, Outcome, Phase, Thresholds, Verdict
from k8s.samples import Histogram, Sample, Share

BOUNDS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 1.0, 2.5, float("inf"))
TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, float("inf"))
QUICK = (0, 50, 30, 10, 6, 3, 1, 0, 0, 0)
SLOW = (0, 0, 0, 0, 0, 20, 50, 20, 10, 0)
LENGTHS = (0, 5, 15, 40, 30, 10, 0)
ALL_PASS: Mapping[str, str] = {}
UNASKED = {"ready", "restarts", "gpu-memory", "refusal-rate"}  # by the policy, or of no numbers


def sample(scale: float = 1.0, **changed: Any) -> Sample:
    """A hundred ordinary requests, `scale` times."""

    def scaled(bounds: tuple[float, ...], counts: tuple[float, ...]) -> Histogram:
        return Histogram(bounds, tuple(scale * each for each in counts))

    ordinary: dict[str, Any] = {
        "finished": {"stop": 90 * scale, "length": 10 * scale},
        "answered": {"200": 98 * scale, "400": 2 * scale},
        "ttft": scaled(BOUNDS, QUICK),
        "itl": scaled(BOUNDS, QUICK),
        "tpot": scaled(BOUNDS, QUICK),
        "lengths": scaled(TOKENS, LENGTHS),
        "screened": 100 * scale,
        "blocked": 0.0,
    }
    return Sample(**(ordinary | changed))


def facts(candidate: Sample | None = None, **changed: Any) -> Facts:
    given: dict[str, Any] = {
        "thresholds": Thresholds(),
        "candidate": sample(2) if candidate is None else candidate,
        "stable": sample(50),
        "ready": 1,
        "looks": 60,
    }
    return Facts(**(given | changed))


def outcomes(given: Facts, phase: Phase = Phase.CANARY) -> dict[str, Outcome]:
    return {each.check: each.outcome for each in judge(phase, given)}


def unlike_pass(given: Facts, phase: Phase = Phase.CANARY) -> dict[str, str]:
    return {name: str(each) for name, each in outcomes(given, phase).items() if each != "PASS"}


@pytest.mark.parametrize("phase", GATES)
def test_a_check_that_is_broken_waits_and_the_others_say_what_they_see(
    phase: Phase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(_facts: Facts, _name: str) -> Verdict:
        raise ZeroDivisionError("of 0 by 0")

    first, *others = GATES[phase]
    before = judge(phase, facts())
    monkeypatch.setattr("k8s.gates.GATES", {phase: (replace(first, ask=breaks), *others)})

    monkeypatch.setattr("k8s.gates._told", set())

    broken, *whole = judge(phase, facts())
    assert judge(phase, facts())[0] == broken

    assert (broken.check, broken.outcome) == (first.name, Outcome.WAIT)
    assert "broken (ZeroDivisionError)" in broken.message
    assert whole == [*before[1:]]
    assert caplog.text.count("ZeroDivisionError: of 0 by 0") == 1, "not at every look"


def test_every_phase_under_way_has_a_gate() -> None:
    assert set(GATES) == UNDER_WAY


@pytest.mark.parametrize("phase", [Phase.MIRRORING, Phase.CANARY])
def test_a_candidate_like_the_stable_version_passes(phase: Phase) -> None:
    assert unlike_pass(facts(), phase) == ALL_PASS


def test_a_better_candidate_passes() -> None:
    quicker = Histogram(BOUNDS, (200, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    assert unlike_pass(facts(sample(2, ttft=quicker, itl=quicker, tpot=quicker))) == ALL_PASS


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"finished": {"stop": 150.0, "length": 20.0, "error": 30.0}}, "success-rate"),
        ({"ttft": Histogram(BOUNDS, tuple(2.0 * n for n in SLOW))}, "ttft-p95"),
        ({"itl": Histogram(BOUNDS, tuple(2.0 * n for n in SLOW))}, "itl-p99"),
        ({"tpot": Histogram(BOUNDS, tuple(2.0 * n for n in SLOW))}, "time-per-token"),
        ({"lengths": Histogram(TOKENS, (200, 0, 0, 0, 0, 0, 0))}, "empty-rate"),
        ({"lengths": Histogram(TOKENS, (0, 0, 0, 0, 0, 0, 200))}, "length-drift"),
        ({"finished": {"stop": 20.0, "length": 180.0}}, "finish-mix"),
        ({"blocked": 60.0}, "verdict-rate"),
        ({"answered": {"200": 170.0, "404": 20.0, "415": 10.0}}, "client-errors"),
        ({"answered": {"200": 170.0, "503": 30.0}}, "server-errors"),
    ],
)
def test_a_worse_candidate_is_refused_by_the_check_of_that_name(
    changed: dict[str, Any], check: str
) -> None:
    assert outcomes(facts(sample(2, **changed)))[check] is Outcome.FAIL


def test_a_candidate_that_breaks_is_refused_before_it_has_enough_requests() -> None:
    broken = sample(0.1, finished={"error": 10.0})
    assert outcomes(facts(broken))["success-rate"] is Outcome.FAIL


def test_one_slow_answer_of_many_tokens_is_no_proof() -> None:
    """All of its tokens are slow together: they prove no more than one answer does."""
    alike = Histogram(BOUNDS, (0, 9800, 0, 0, 0, 0, 200, 0, 0, 0))  # every fiftieth answer is slow
    one_of_ten = Histogram(BOUNDS, (0, 1800, 0, 0, 0, 0, 200, 0, 0, 0))
    given = facts(
        sample(0.1, itl=one_of_ten, tpot=one_of_ten.at_most(10)),
        stable=sample(itl=alike, tpot=alike.at_most(100)),
    )
    assert Outcome.FAIL not in outcomes(given).values()


def test_four_answers_that_are_all_slow_are_proof() -> None:
    slow = Histogram(BOUNDS, (0, 0, 0, 0, 0, 0, 4, 0, 0, 0))
    steady = Histogram(BOUNDS, (100, 200, 0, 0, 0, 0, 0, 0, 0, 0))
    given = facts(sample(0.04, tpot=slow), stable=sample(3, tpot=steady), looks=300)
    failed = {name for name, each in outcomes(given).items() if each is Outcome.FAIL}
    assert failed == {"slow-answers"}


def test_lengths_in_other_buckets_are_compared_where_both_have_a_bound() -> None:
    finer = Histogram((1.0, 3.0, 5.0, 7.0, 20.0, float("inf")), (0, 10, 30, 70, 90, 0))
    longer = Histogram((1.0, 3.0, 5.0, 7.0, 20.0, float("inf")), (0, 0, 0, 0, 10, 190))
    other = Histogram((8.0, float("inf")), (100, 100))
    seen = [outcomes(facts(sample(2, lengths=each)))["length-drift"] for each in (finer, longer)]
    assert seen == [Outcome.PASS, Outcome.FAIL]
    assert outcomes(facts(sample(2, lengths=other)))["length-drift"] is Outcome.WAIT


def test_two_bad_minutes_of_a_good_candidate_wait() -> None:
    unlucky = sample(2, finished={"stop": 180.0, "length": 17.0, "error": 3.0})
    assert outcomes(facts(unlucky))["success-rate"] is Outcome.WAIT


def test_a_candidate_may_fail_as_often_as_the_stable_version_does() -> None:
    sick = {"stop": 180.0, "length": 10.0, "error": 10.0}
    given = facts(sample(2, finished=sick), stable=sample(2, finished=sick))
    assert outcomes(given)["success-rate"] is Outcome.PASS


def test_no_data_at_all_passes_nothing_but_what_needs_none() -> None:
    given = facts(Sample(), stable=Sample(), unseen="Prometheus does not answer")
    waiting = {name for name, each in outcomes(given).items() if each is Outcome.WAIT}
    assert set(outcomes(given)) - waiting == UNASKED
    assert not [each for each in outcomes(given).values() if each is Outcome.FAIL]
    told = {each.message for each in judge(Phase.CANARY, given)}
    assert "Prometheus does not answer" in told


def test_too_few_requests_are_no_verdict() -> None:
    passed = {name for name, each in outcomes(facts(sample(0.5))).items() if each == "PASS"}
    assert passed == UNASKED


def test_callers_who_hang_up_are_not_counted() -> None:
    hung_up = sample(2, finished={"stop": 180.0, "length": 20.0, "abort": 100.0})
    assert (hung_up.requests, hung_up.failed.hits) == (200, 0)
    assert sample(1, answered={"200": 90.0, "499": 10.0}).answered_with("4") == Share(0.0, 90.0)


def test_a_candidate_may_refuse_what_the_stable_version_refuses_too() -> None:
    refused = {"200": 120.0, "400": 80.0}
    given = facts(sample(2, answered=refused), stable=sample(2, answered=refused))
    assert outcomes(given)["client-errors"] is Outcome.PASS


def test_a_candidate_that_refuses_everybody_is_sent_home_though_it_has_generated_nothing() -> None:
    closed = Sample(answered={"404": 10.0})
    assert outcomes(facts(closed))["client-errors"] is Outcome.FAIL


def test_a_few_bad_requests_more_may_be_chance() -> None:
    unlucky = sample(2, answered={"200": 190.0, "400": 10.0})
    assert outcomes(facts(unlucky))["client-errors"] is Outcome.WAIT


def test_a_reason_nobody_knows_is_a_failure() -> None:
    assert sample(1, finished={"gremlins": 3.0}).failed.hits == 3


def test_a_container_that_ended_refuses_the_candidate() -> None:
    assert outcomes(facts(restarts=1))["restarts"] is Outcome.FAIL


def test_nobody_ready_is_waited_for() -> None:
    assert outcomes(facts(ready=0))["ready"] is Outcome.WAIT


def test_gpu_memory_is_checked_where_the_policy_asks() -> None:
    asked = Thresholds(gpu_memory=0.9)
    full, free = (sample(2, gpu_memory=used) for used in (0.95, 0.5))
    assert outcomes(facts(full, thresholds=asked))["gpu-memory"] is Outcome.FAIL
    assert outcomes(facts(free, thresholds=asked))["gpu-memory"] is Outcome.PASS
    assert outcomes(facts(sample(2), thresholds=asked))["gpu-memory"] is Outcome.WAIT


def test_mirrored_answers_must_be_near_the_stable_versions() -> None:
    tenths = tuple(each / 10 for each in range(1, 11))
    asked = Thresholds(similarity=0.5)
    near = sample(2, similarity=Histogram(tenths, (0, 0, 0, 0, 0, 0, 0, 50, 50, 50)))
    far = sample(2, similarity=Histogram(tenths, (50, 50, 50, 0, 0, 0, 0, 0, 0, 0)))
    for given, outcome in ((near, Outcome.PASS), (far, Outcome.FAIL), (sample(2), Outcome.WAIT)):
        told = outcomes(facts(given, thresholds=asked), Phase.MIRRORING)
        assert told["similarity"] is outcome


def test_a_good_candidate_whose_answers_a_scorer_cuts_short_is_not_refused_for_it() -> None:
    """Users' answers are longer than the cap; every copy's ends at it."""
    longer = sample(50, lengths=Histogram(TOKENS, (0, 0, 0, 0, 0, 1000, 4000)))
    cut = sample(
        2,
        lengths=Histogram(TOKENS, (0, 0, 0, 0, 0, 200, 0)),
        finished={"stop": 10.0, "length": 190.0},
        ttft=Histogram(BOUNDS, tuple(2.0 * n for n in SLOW)),
    )
    unlike = {"finish-mix", "length-drift", "ttft-p50", "ttft-p95"}
    assert set(unlike_pass(facts(cut, stable=longer), Phase.MIRRORING)) == unlike
    scored = facts(cut, stable=longer, scored=True)
    assert unlike_pass(scored, Phase.MIRRORING) == ALL_PASS
    assert set(unlike_pass(scored, Phase.CANARY)) == unlike


@pytest.mark.parametrize("phase", [Phase.MIRRORING, Phase.CANARY])
def test_a_candidate_that_refuses_more_than_the_stable_version_is_refused(phase: Phase) -> None:
    asked = Thresholds(refusal_rate=0.05)
    polite = sample(50, answers={"answered": 950.0, "refused": 50.0})
    for refused, outcome in ((10.0, Outcome.PASS), (100.0, Outcome.FAIL)):
        mine = sample(2, answers={"answered": 200 - refused, "refused": refused})
        told = outcomes(facts(mine, stable=polite, thresholds=asked), phase)
        assert told["refusal-rate"] is outcome


def test_an_evaluation_is_waited_for_and_its_checks_follow() -> None:
    worse = Verdict(check="eval-bleu", outcome=Outcome.FAIL, message="3 points worse")
    assert outcomes(facts(evaluation=None), Phase.EVALUATING)["evaluated"] is Outcome.WAIT
    (_, unasked) = judge(Phase.EVALUATING, facts(evaluation=()))
    assert unasked.message == "the policy does not ask for it"
    told = judge(Phase.EVALUATING, facts(evaluation=(worse,)))
    assert [each.check for each in told] == ["ready", "evaluated", "eval-bleu"]


def test_verdicts_carry_their_numbers() -> None:
    verdict = next(e for e in judge(Phase.CANARY, facts()) if e.check == "ttft-p95")
    assert verdict.samples == 200
    assert verdict.limit == pytest.approx(1.25 * verdict.stable)
    assert "ms" in verdict.message


def test_the_chance_of_a_false_alarm_is_shared_out_over_all_looks() -> None:
    assert facts().alpha == pytest.approx(0.01 / 60)
    assert replace(facts(), looks=1).alpha == pytest.approx(0.01)
