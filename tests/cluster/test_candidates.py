"""Bad candidates, each with one thing wrong: which check stops it, and who has met it by then."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from k8s.cli.evaluate import WORSE
from tests.cluster import candidates, pods, traffic
from tests.cluster.candidates import Spoilt, questions
from tests.cluster.journeys import (
    POLICY,
    RATE,
    UNEVALUATED,
    UNMIRRORED,
    evaluate,
    failed_checks,
    is_at_most,
    leads,
    send,
)
from tests.cluster.roads import Road, until
from tests.cluster.stage import Stage, note
from tests.cluster.traffic import Traffic

pytestmark = pytest.mark.timeout(1200)

SCORED = {"percent": 50, "duration": "10s", "deadline": "3m", "service": "glm-scorer"}
# Its first token comes late too, and which proof is the first to be whole is chance.
SLOW = {"ttft-p50", "ttft-p95", "itl-p50", "slow-answers", "time-per-token"}
BROKEN = {"success-rate", "server-errors"}  # the model's own count, and that of the door
MANY = 60  # for a while everything may be slow on a busy machine, the stable version too
CAPPED = 200  # the upper bound of the bucket with 128, to which copies are cut


@contextmanager
def using(url: str, rate: float = RATE) -> Iterator[Traffic]:
    with traffic.flowing(url, rate=rate, streams=0, tokens=0, questions=questions()) as users:
        yield users


def told(bad: str, where: str, road: Road, users: Traffic) -> int:
    """How many met it; everybody is where they were."""
    assert road.status["phase"] == "RolledBack"
    assert road.shares == {"glm-v1": 100}
    met = sum(each.version == bad for each in users.answers)
    asked, faults = len(users.answers), len(users.faults())
    note(f"| {bad} | {where} | {met} of {asked} | {faults} |\n{road.glm('why').stdout}")
    return met


@pytest.mark.parametrize(
    ("bad", "check"), [("noise", "eval-exact"), ("garbled", "eval-json-valid")]
)
def test_what_answers_worse_is_stopped_by_its_evaluation(
    stage: Stage, spoilt: Spoilt, door: str, bad: str, check: str
) -> None:
    stage.only(v1=candidates.small, **{bad: spoilt.values})
    road = stage.lay(door, **POLICY)
    with using(door) as users:
        send(stage, bad, spoilt.digests[bad])
        code, report = evaluate(stage, road, door, bad, spoilt.digests[bad])
        assert code == WORSE, report
        assert check in failed_checks(stage, bad)

    assert told(bad, "evaluate", road, users) == 0
    assert users.faults() == []


@pytest.mark.parametrize(
    ("bad", "checks"), [("silent", {"empty-rate"}), ("slow", SLOW), ("brittle", BROKEN)]
)
def test_what_nobody_evaluated_is_stopped_by_copies_of_what_users_ask(
    stage: Stage, spoilt: Spoilt, door: str, bad: str, checks: set[str]
) -> None:
    stage.only(v1=candidates.small, **{bad: spoilt.values})
    gates = POLICY["gates"] | {"slower": 2, "minRequests": MANY}
    road = stage.lay(door, **{**POLICY, "evaluate": UNEVALUATED, "gates": gates})
    with using(door) as users:
        send(stage, bad)
        assert checks & set(failed_checks(stage, bad))

    assert told(bad, "mirror", road, users) == 0
    assert users.faults() == []


def test_what_refuses_all_that_the_stable_version_answers_is_stopped(
    stage: Stage, door: str
) -> None:
    stage.only(v1=candidates.small, stranger=candidates.stranger)
    road = stage.lay(door, **{**POLICY, "evaluate": UNEVALUATED})
    with using(door) as users:
        send(stage, "stranger")
        assert "client-errors" in failed_checks(stage, "stranger")

    assert told("stranger", "mirror", road, users) == 0
    assert users.faults() == []


@pytest.mark.parametrize(("bad", "checks"), [("slow", SLOW), ("brittle", BROKEN)])
def test_what_was_neither_evaluated_nor_mirrored_meets_one_user_in_a_hundred(
    stage: Stage, spoilt: Spoilt, door: str, bad: str, checks: set[str]
) -> None:
    stage.only(v1=candidates.small, **{bad: spoilt.values})
    unseen = {"evaluate": UNEVALUATED, "mirror": UNMIRRORED}
    road = stage.lay(door, **{**POLICY, **unseen, "gates": POLICY["gates"] | {"slower": 2}})
    with using(door) as users:
        send(stage, bad)
        assert checks & set(failed_checks(stage, bad))

    assert is_at_most(told(bad, "canary-1", road, users), len(users.answers), 0.01)
    assert all(each.version == bad for each in users.answers if each.fault)


def test_what_crashes_under_copies_is_stopped_by_its_restarts(stage: Stage, door: str) -> None:
    stage.only(v1=candidates.small, v2=candidates.good)
    lasting = {"percent": 20, "duration": "3m", "deadline": "4m"}
    road = stage.lay(door, **{**POLICY, "evaluate": UNEVALUATED, "mirror": lasting})
    with using(door) as users:
        send(stage, "v2")
        until(lambda: stage.seen().status.step == "mirror", "copies")
        pods.crash(stage.cluster, head_of(stage, "v2"))
        assert "restarts" in failed_checks(stage, "v2")

    assert told("v2", "mirror, crashing", road, users) == 0
    assert users.faults() == []


def test_what_crashes_under_users_is_sent_home_as_soon_as_nobody_answers(
    stage: Stage, door: str
) -> None:
    stage.only(v1=candidates.small, v2=candidates.good)
    slowly = [{"weight": 1, "duration": "3m", "deadline": "4m"}]
    unseen = {"evaluate": UNEVALUATED, "mirror": UNMIRRORED, "canary": slowly}
    road = stage.lay(door, **{**POLICY, **unseen})
    with using(door) as users:
        send(stage, "v2")
        until(lambda: any(each.version == "v2" for each in users.answers), "a first user")
        pods.crash(stage.cluster, head_of(stage, "v2"))
        failed_checks(stage, "v2")

    last = stage.seen().status.history[-1]
    assert last.event in {"CandidateLost", "GateFailed"}, last
    met = told("v2", f"canary-1, crashing: {last.message}", road, users)
    assert is_at_most(met + len(users.faults()), len(users.answers), 0.01)


def head_of(stage: Stage, version: str) -> str:
    """Its one pod."""
    own = f"glm-serve.io/version={version},app.kubernetes.io/component=head"
    (pod,) = stage.cluster.get("pods", "", "--selector", own)["items"]
    return str(pod["metadata"]["name"])


def test_a_model_that_breaks_json_is_held_to_its_grammar_all_the_same(
    stage: Stage, spoilt: Spoilt, door: str
) -> None:
    """Where JSON is enforced it stays JSON as far as it goes; only what it says is nonsense."""
    stage.only(v1=candidates.small, garbled=spoilt.values)
    stage.lay(door, **POLICY).wish(versions=[{"name": "v1"}, {"name": "garbled"}])
    until(lambda: leads(door, "garbled"), "the gateway leads there")
    said = [in_json_mode(door, each) for each in questions() if "JSON" in str(each["messages"])]
    note(f"garbled in JSON mode: {said}")
    assert all(finish == "length" or is_json(text) for text, finish in said)


def in_json_mode(url: str, body: dict[str, Any]) -> tuple[str, str]:
    wish = {"model": traffic.MODEL, "response_format": {"type": "json_object"}, "max_tokens": 60}
    answer = httpx.post(
        f"{url}/v1/chat/completions",
        json=body | wish,
        headers={"x-model-version": "garbled"},
        timeout=60,
        trust_env=False,
    ).raise_for_status()
    choice = answer.json()["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def test_copies_are_scored_against_the_stable_version_and_reach_nobody(
    stage: Stage, spoilt: Spoilt, door: str
) -> None:
    """An answer that says nothing is like none; that it is empty is let pass here."""
    stage.only(v1=candidates.small, silent=spoilt.values)
    gates = {"similarity": 0.5, "refusalRate": 0.1, "emptyRate": 1, "lengthDrift": 1}
    changed = {"evaluate": UNEVALUATED, "mirror": SCORED, "gates": POLICY["gates"] | gates}
    road = stage.lay(door, **{**POLICY, **changed})
    with using(door) as users:
        send(stage, "silent")
        failed = failed_checks(stage, "silent")

    assert told("silent", "mirror, scored", road, users) == 0
    assert "similarity" in failed
    (refusals,) = (each for each in stage.seen().status.verdicts if each.check == "refusal-rate")
    assert refusals.samples
    assert longest_wish(stage, "silent") <= CAPPED < longest_wish(stage, "v1")


def longest_wish(stage: Stage, version: str) -> float:
    """The upper bound of the bucket with the greatest max_tokens that was asked of a version."""
    name, here = "vllm:request_params_max_tokens_bucket", stage.cluster.namespace
    query = f'sum by (le) ({name}{{version="{version}", namespace="{here}"}})'
    service = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy"
    raw = stage.cluster.kubectl("get", "--raw", f"{service}/api/v1/query?query={quote(query)}")
    series = json.loads(raw)["data"]["result"]
    counts = {float(each["metric"]["le"]): float(each["value"][1]) for each in series}
    return min(bound for bound, count in counts.items() if count == max(counts.values()))
