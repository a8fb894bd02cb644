"""Releases on a real cluster, under users whose every answer is kept: there and back."""

import pytest

from k8s.road import Outcome, Phase
from tests.cluster import candidates, charts, rollbacks, traffic
from tests.cluster.candidates import Spoilt, questions
from tests.cluster.charts import Release
from tests.cluster.journeys import (
    GENTLE,
    POLICY,
    RATE,
    UNEVALUATED,
    UNMIRRORED,
    evaluate,
    failed_checks,
    is_at_most,
    is_share,
    send,
    shares,
)
from tests.cluster.roads import until
from tests.cluster.stage import GOLDEN, Stage, marked, note

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(autouse=True)
def _versions(stage: Stage, spoilt: Spoilt) -> None:
    stage.only(v1=candidates.small, v2=candidates.good, silent=spoilt.values)


def test_a_good_candidate_reaches_everybody_and_nobody_notices(stage: Stage, door: str) -> None:
    road = stage.lay(door, **GENTLE)
    digest = candidates.good("v2", stage.image)["model"]["digest"]
    released = road.glm("release", "v2", "--model-digest", digest)
    assert released.returncode == 0, released.stderr
    with (
        traffic.flowing(door, rate=RATE, streams=1, tokens=200, questions=questions()) as users,
        marked(stage.api, "v2") as marks,
    ):
        code, told = evaluate(stage, road, door, "v2", digest)
        assert code == 0, told
        waited = road.glm("wait", "promoted", "--version", "v2", "--timeout", "840")
        assert waited.returncode == 0, waited.stdout + waited.stderr
        until(lambda: marks[-1].share == 1, "everybody on v2")

    met = list(shares(users.answers, marks, "v2"))
    note(f"good: {len(users.answers)} requests, {len(users.faults())} failed; {met}")
    assert users.faults() == []
    assert [mark.share for mark in marks[:-1]] == [0, 0.01, 0.1, 0.5, 1]
    assert all(is_share(hits, asked, share) for share, hits, asked in met), met


def test_a_candidate_is_evaluated_by_a_job_where_no_pipeline_does(stage: Stage, door: str) -> None:
    """What an operator types is `helm upgrade` alone; the controller counts the Job's report."""
    road = stage.lay(door, **GENTLE)
    asked = candidates.golden_lines()
    sets = {"metadata": {"name": GOLDEN}, "data": {"few.jsonl": "\n".join(asked)}}
    stage.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", **sets})
    digest = candidates.good("v2", stage.image)["model"]["digest"]
    values = {
        "stable": "v1",
        "candidate": "v2",
        "versions": [{"name": "v1"}, {"name": "v2", "modelDigest": digest}],
        "advanceTo": "evaluate",
        "policy": GENTLE,
        "evaluation": {"enabled": True, "image": charts.image_values(stage.image)},
    }
    Release(stage.cluster, "glm-road", charts.HELM / "glm-road", stage.folder).apply(values)

    (job,) = stage.cluster.get("jobs")["items"]
    stage.cluster.wait(f"job/{job['metadata']['name']}", "condition=Complete", 600)
    until(lambda: bool(stage.seen().status.evaluation_digest), "the report is counted")
    status = stage.seen().status
    told = {each.check: each for each in status.verdicts}
    note(f"by a Job: {len(asked)} questions\n{road.glm('why').stdout}")
    assert told["evaluated"].outcome is Outcome.PASS
    assert told["eval-answered"].samples == len(asked)
    assert Outcome.FAIL not in {each.outcome for each in status.verdicts}
    assert status.phase is Phase.EVALUATING, "nobody has allowed more"


def test_a_candidate_that_answers_nothing_meets_one_user_in_a_hundred(
    stage: Stage, door: str
) -> None:
    """Nobody has evaluated it, nothing was mirrored: its first users are what stops it."""
    road = stage.lay(door, **{**POLICY, "evaluate": UNEVALUATED, "mirror": UNMIRRORED})
    with traffic.flowing(door, rate=RATE, streams=0, tokens=0, questions=questions()) as users:
        send(stage, "silent")
        failed = failed_checks(stage, "silent")

    met = sum(each.version == "silent" for each in users.answers)
    note(f"silent, canary-1: {met} of {len(users.answers)} met it\n{road.glm('why').stdout}")
    assert "empty-rate" in failed
    until(lambda: road.shares == {"glm-v1": 100}, "v1 on the route")
    assert is_at_most(met, len(users.answers), 0.01)


def test_a_rollback_from_the_middle_of_any_step_takes_a_second_but_for_one_stall(
    stage: Stage, door: str
) -> None:
    road = stage.lay(door, **rollbacks.policy("evaluate"))
    with traffic.flowing(door, rate=RATE, streams=2, tokens=300) as users:
        done = list(rollbacks.from_steps(stage, road, rollbacks.STEPS * 2))

    note(rollbacks.table(done, users))
    assert users.faults() == []
    assert len(done) == 2 * len(rollbacks.STEPS)
    assert rollbacks.are_quick_but_for_a_stall([each.last_s(users) for each in done])
