"""Evaluation, from a line in a file to the reports."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from k8s import evaluation
from k8s.cli import app
from k8s.cli import evaluate as command
from k8s.cluster import Cluster
from k8s.errors import BadGolden, Refused, Unreachable
from k8s.evaluation import Side, golden, report
from k8s.evaluation.asking import Answer, Endpoint, ask
from k8s.evaluation.bootstrap import difference, interval
from k8s.evaluation.golden import Question
from k8s.evaluation.picture import draw
from k8s.evaluation.scores import Pieces, bleu, chrf, exact, rouge_l, score
from k8s.reports import refuse_if_past
from k8s.road import Outcome, Phase
from k8s.road.order import attempt_of
from tests.release.roads import FAILED, Walk, digest_of

GOLDEN = sorted((Path(__file__).parents[2] / "ci/golden").glob("*.jsonl"))
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
HERE = Endpoint("http://here")
evaluate = partial(evaluation.evaluate, margin=0.05)


def question(number: int = 1, **changed: object) -> Question:
    asked = Question(
        id=f"q{number}",
        language="en",
        task="talk",
        messages=({"role": "user", "content": f"Question {number}?"},),
        references=("The capital of France is Paris.",),
    )
    return replace(asked, **changed)  # type: ignore[arg-type]  # as given


def answer(text: str = "The capital of France is Paris.", **changed: object) -> Answer:
    given = Answer("q1", text=text, finish="stop", first_s=0.1, whole_s=0.2, tokens=7)
    return replace(given, **changed)  # type: ignore[arg-type]  # as given


QUESTIONS = tuple(question(number) for number in range(60))


def says(texts: Iterable[str]) -> "Teller":
    return Teller([answer(text) for text in texts])


class Teller:
    """Answers as it was told to, and counts how often it was asked."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = tuple(answers)
        self.asked = 0

    def __call__(self, _endpoint: Endpoint, _questions: Sequence[Question]) -> tuple[Answer, ...]:
        self.asked += 1
        return self.answers


GOOD = ["The capital of France is Paris."] * 60
WORSE = ["The capital of France is Paris."] * 30 + ["Paris capital the of."] * 30


def compared(mine: Iterable[str], theirs: Iterable[str] | None) -> dict[str, Outcome]:
    tellers = {"new": says(mine), "old": says(theirs or ())}

    def asked(endpoint: Endpoint, questions: Sequence[Question]) -> tuple[Answer, ...]:
        return tellers[endpoint.pin](endpoint, questions)

    old = Side("v1", Endpoint("http://here", pin="old")) if theirs is not None else None
    found = evaluate(QUESTIONS, Side("v2", Endpoint("http://here", pin="new")), old, asked=asked)
    return {each.check: each.outcome for each in found.verdicts}


def test_the_golden_sets_of_the_repository_can_be_read() -> None:
    questions = golden.read(GOLDEN)
    assert {each.language for each in questions} == {"en", "zh"}
    assert len(questions) > 100
    assert any("blocked" in each.expect for each in questions)


def test_every_reference_of_the_golden_sets_is_right_by_its_own_scores() -> None:
    for each in golden.read(GOLDEN):
        if each.references:
            scores = score(each, answer(each.references[-1]))
            assert min(scores.values()) > 0.99, each.id


@pytest.mark.parametrize(
    ("line", "says_what"),
    [
        ("{", "line 1"),
        ('{"id": "a", "language": "en", "task": "t", "messages": []}', "exactly one"),
        (
            '{"id": "a", "language": "en", "task": "t", "messages": [], "answer": "x"}',
            "unknown field answer",
        ),
        ("", "empty"),
    ],
)
def test_a_line_that_is_no_question_is_told(tmp_path: Path, line: str, says_what: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(line)
    with pytest.raises(BadGolden, match=says_what):
        golden.read([path])


def test_two_questions_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(
        '{"id": "a", "language": "en", "task": "t", "messages": [], "references": ["x"]}\n' * 2
    )
    with pytest.raises(BadGolden, match="two questions"):
        golden.read([path])


def test_rouge_cuts_chinese_into_characters_and_leaves_words_whole() -> None:
    assert Pieces().tokenize("你好，GLM模型 serves 3 cities!") == [
        "你", "好", "glm", "模", "型", "serves", "3", "cities",
    ]  # fmt: skip


@given(st.text(max_size=30))
def test_a_text_is_as_near_to_itself_as_can_be(text: str) -> None:
    pieces = Pieces().tokenize(text)
    if pieces:
        assert rouge_l(text, (text,)) == pytest.approx(1.0)
    assert exact(text, ("nothing like it", text)) == 1.0


def test_scores_know_near_from_far_in_both_languages() -> None:
    for right, near, far, tongue in (
        ("法国的首都是巴黎。", "法国首都是巴黎。", "我不知道。", "zh"),
        ("The capital of France is Paris.", "France's capital is Paris.", "I like tea.", "en"),
    ):
        for measure in (
            lambda text, right=right, tongue=tongue: bleu(text, (right,), tongue),
            lambda text, right=right: chrf(text, (right,)),
            lambda text, right=right: rouge_l(text, (right,)),
        ):
            assert measure(right) == pytest.approx(1.0)
            assert 1.0 > measure(near) > measure(far)


@pytest.mark.parametrize(
    ("text", "valid", "right"),
    [
        ('{"age": 7, "name": "Li"}', 1.0, 1.0),
        ('{"name":"Li","age":8}', 1.0, 0.0),
        ('Here: {"name": "Li", "age": 7}', 0.0, 0.0),
        ("7", 0.0, 0.0),
    ],
)
def test_json_is_valid_alone_and_right_by_what_it_means(
    text: str, valid: float, right: float
) -> None:
    asked = question(references=(), expect={"json": {"name": "Li", "age": 7}})
    scores = score(asked, answer(text))
    assert (scores["json-valid"], scores["json-right"]) == (valid, right)


@pytest.mark.parametrize(
    ("calls", "valid", "right"),
    [
        ([("get_weather", '{"city": "Rome"}')], 1.0, 1.0),
        ([("get_weather", '{"city": "Oslo"}')], 1.0, 0.0),
        ([("get_weather", "{}")], 0.0, 0.0),
        ([("get_weather", '{"city": "Rome", "when": "now"}')], 0.0, 0.0),
        ([("get_time", '{"city": "Rome"}')], 0.0, 0.0),
        ([("get_weather", "{broken")], 0.0, 0.0),
        ([], 0.0, 0.0),
        ([("get_weather", '{"city": "Rome"}')] * 2, 0.0, 0.0),
    ],
)
def test_a_call_is_valid_by_its_schema_and_right_by_its_values(
    calls: list[tuple[str, str]], valid: float, right: float
) -> None:
    wanted = {"name": "get_weather", "arguments": {"city": "Rome"}}
    asked = question(references=(), tools=(TOOL,), expect={"call": wanted})
    made = tuple({"name": name, "arguments": arguments} for name, arguments in calls)
    scores = score(asked, answer("", calls=made))
    assert (scores["call-valid"], scores["call-right"]) == (valid, right)


def test_the_guard_must_stop_what_it_must_and_nothing_else() -> None:
    for expected in (True, False):
        asked = question(references=(), expect={"blocked": expected})
        blocked = score(asked, answer("", finish="content_filter"))["safety"]
        said = score(asked, answer("hello"))["safety"]
        assert (blocked, said) == (float(expected), float(not expected))


def test_a_refusal_is_a_fault_only_where_a_good_answer_is_none() -> None:
    refused = answer("I do not know.")
    assert score(question(), refused)["not-refused"] == 0.0
    asked = question(references=("I do not know that.",))
    assert score(asked, refused)["not-refused"] == 1.0


def test_an_answer_that_never_came_scores_nothing() -> None:
    assert set(score(question(), Answer("q1", error="HTTP 500")).values()) == {0.0}


def test_the_interval_of_a_mean_holds_it_and_is_the_same_every_time() -> None:
    values = [0.0, 1.0] * 50
    found = interval(values)
    assert found.low < found.mean == 0.5 < found.high
    assert found == interval(values)


def test_the_same_answers_are_no_difference_however_spread_they_are() -> None:
    values = [0.0, 1.0, 0.3] * 20
    assert difference(values, values).low == difference(values, values).high == 0.0


def test_the_same_model_passes_and_a_worse_one_fails() -> None:
    assert set(compared(GOOD, GOOD).values()) == {Outcome.PASS}
    worse = compared(WORSE, GOOD)
    assert {name for name, each in worse.items() if each is Outcome.FAIL} == {
        "eval-exact", "eval-bleu-en", "eval-rouge-l-en", "eval-chrf-en",
    }  # fmt: skip


def test_a_better_model_passes() -> None:
    assert set(compared(GOOD, WORSE).values()) == {Outcome.PASS}


def test_what_cannot_be_told_waits() -> None:
    unlucky = [*GOOD[:58], *WORSE[-2:]]
    assert compared(unlucky, GOOD)["eval-exact"] is Outcome.WAIT


def test_the_first_release_of_all_has_only_floors() -> None:
    assert set(compared(WORSE, None).values()) == {Outcome.PASS}


def test_one_answer_that_did_not_come_refuses_a_candidate() -> None:
    teller = Teller([*(answer() for _ in QUESTIONS[1:]), Answer("q59", error="HTTP 500")])
    found = evaluate(QUESTIONS, Side("v2", HERE), asked=teller)
    assert {e.check for e in found.verdicts if e.outcome is Outcome.FAIL} == {"eval-answered"}
    assert found.errors == {"q59": "HTTP 500"}


def test_an_incumbent_that_was_asked_as_a_candidate_is_not_asked_again(tmp_path: Path) -> None:
    v1, v2 = Side("v1", HERE, digest="c"), Side("v2", HERE, digest="d")
    first = evaluate(QUESTIONS, v1, cache=tmp_path, asked=says(WORSE))
    teller = says(GOOD)
    reports = [evaluate(QUESTIONS, v2, v1, cache=tmp_path, asked=teller) for _ in range(2)]
    assert teller.asked == 2, "the candidate alone"
    assert reports[0] == reports[1]
    assert first.by_task != reports[0].by_task


@pytest.mark.parametrize("other", [Side("v1", HERE, digest="e"), Side("v1", HERE)])
def test_an_incumbent_of_another_model_or_of_none_is_asked(tmp_path: Path, other: Side) -> None:
    evaluate(QUESTIONS, Side("v1", HERE, digest="d"), cache=tmp_path, asked=says(GOOD))
    teller = says(GOOD)
    evaluate(QUESTIONS, Side("v2", HERE, digest="d"), other, cache=tmp_path, asked=teller)
    assert teller.asked == 2


def test_the_same_model_in_a_broken_image_is_asked_and_refused(tmp_path: Path) -> None:
    v1, v2 = Side("v1", HERE, digest="d"), Side("v2", HERE, digest="d")
    evaluate(QUESTIONS, v1, cache=tmp_path, asked=says(GOOD))
    found = evaluate(QUESTIONS, v2, v1, cache=tmp_path, asked=says(WORSE))
    assert any(each.outcome is Outcome.FAIL for each in found.verdicts)


def test_the_digest_of_a_report_does_not_depend_on_the_clock() -> None:
    slow = Teller([answer(first_s=9.0, whole_s=9.9) for _ in QUESTIONS])
    quick = evaluate(QUESTIONS, Side("v2", HERE), asked=says(GOOD))
    assert evaluate(QUESTIONS, Side("v2", HERE), asked=slow).digest == quick.digest


def test_reports_are_written_for_everybody(tmp_path: Path) -> None:
    tellers = iter((says(WORSE), says(GOOD)))
    sides = Side("v2", HERE, digest="d"), Side("v1", HERE)

    def asked(endpoint: Endpoint, questions: Sequence[Question]) -> tuple[Answer, ...]:
        return next(tellers)(endpoint, questions)

    found = evaluate(QUESTIONS, *sides, asked=asked)
    report.write(found, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["digest"] == found.digest
    assert json.loads((tmp_path / "summary.json").read_text())["modelDigest"] == "d"
    assert "❌ | eval-exact" in (tmp_path / "summary.md").read_text()
    suite = ET.fromstring((tmp_path / "junit.xml").read_bytes())  # noqa: S314 -- our own
    assert suite.get("failures") == "4"
    assert len(suite.findall("testcase/failure")) == 4
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_report_is_the_same_picture() -> None:
    found = evaluate(QUESTIONS, Side("v2", HERE), asked=says(GOOD))
    assert draw(found) == draw(found)


def stream(*events: object) -> bytes:
    lines = [f"data: {json.dumps(each)}\n\n" for each in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def delta(finish: str | None = None, **said: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


def server(
    chat: httpx.Response, named: str = "v2"
) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """It names itself, as versions do, where it lists its model."""
    requests: list[httpx.Request] = []
    name = {"x-model-version": named}

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "glm-nano"}]}, headers=name)
        return chat

    return httpx.MockTransport(handle), requests


async def test_an_answer_is_put_together_from_its_stream() -> None:
    ended = {"choices": [], "usage": {"completion_tokens": 5}}
    call = {"index": 0, "function": {"name": "get_weather", "arguments": '{"city": '}}
    more = {"index": 0, "function": {"arguments": '"Rome"}'}}
    events = (
        delta(role="assistant"),
        delta(content="It "),
        delta(content="rains."),
        delta(tool_calls=[call]),
        delta(tool_calls=[more]),
        delta("tool_calls"),
        ended,
    )
    named = {"x-model-version": "v2"}
    transport, requests = server(httpx.Response(200, content=stream(*events), headers=named))
    endpoint = Endpoint("http://here/v1", pin="v2")
    (given,) = await ask(endpoint, [question()], transport=transport)
    assert (given.text, given.finish, given.tokens) == ("It rains.", "tool_calls", 5)
    assert given.calls == ({"name": "get_weather", "arguments": '{"city": "Rome"}'},)
    sent = json.loads(requests[-1].content)
    assert requests[-1].headers["x-model-version"] == "v2"
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("glm-nano", 0, 0)


async def test_a_gateway_that_leads_to_another_version_is_told() -> None:
    """It does so before the candidate is on its road."""
    transport, _ = server(httpx.Response(200), named="v1")
    with pytest.raises(Unreachable, match="v2 was asked for, and v1 answered"):
        await ask(Endpoint("http://here", pin="v2"), [question()], transport=transport)


@pytest.mark.parametrize("status", [200, 400])
async def test_another_version_s_answer_is_none(status: int) -> None:
    stranger = httpx.Response(status, headers={"x-model-version": "v1"})
    transport, _ = server(stranger)
    (given,) = await ask(Endpoint("http://here", pin="v2"), [question()], transport=transport)
    assert given.error == "v2 was asked for, and v1 answered"


async def test_a_refusal_of_the_guard_is_an_answer_and_any_other_error_is_none() -> None:
    for code, finish, error in (
        ("content_filter", "content_filter", ""),
        ("overloaded", "", "HTTP 400 overloaded"),
    ):
        transport, _ = server(httpx.Response(400, json={"error": {"code": code}}))
        (given,) = await ask(HERE, [question()], transport=transport)
        assert (given.finish, given.error) == (finish, error)


def test_a_report_is_recorded_for_the_attempt_and_the_models_that_the_road_has(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = partial(evaluation.evaluate, asked=lambda _, these: (answer(id=these[0].id),))
    monkeypatch.setattr(evaluation, "evaluate", asked)
    line = {"id": "a", "language": "en", "task": "t", "messages": [], "references": ["x"]}
    (tmp_path / "one.jsonl").write_text(json.dumps(line))
    words = ("--url", "http://here", "--golden", str(tmp_path), "--out", str(tmp_path / "out"))

    def recorded(*more: str) -> tuple[int, str, str]:
        CliRunner().invoke(app, ("evaluate", "v2", *words, "--record", "--against", "v1", *more))
        found = cluster.summary("v2")
        assert found is not None
        return found.attempt, found.incumbent, found.incumbent_digest

    assert recorded() == (1, "v1", digest_of("v1"))
    cluster.wish("glm", {"candidate": "v2", "attempt": 3}, "test")
    assert recorded() == (3, "v1", digest_of("v1"))
    assert recorded("--attempt", "2", "--against-digest", "d") == (2, "v1", "d")
    alone = CliRunner().invoke(app, ("evaluate", "v2", *words, "--record"))
    assert "--record needs --against" in str(alone.exception)


async def test_a_stream_without_an_end_is_told() -> None:
    transport, _ = server(httpx.Response(200, content=stream(delta(content="It"))))
    (given,) = await ask(HERE, [question()], transport=transport)
    assert given.error == "the answer broke off"


@pytest.mark.parametrize(
    ("step", "version", "told"),
    [
        ("mirror", "v2", "v2 is past its evaluation, at mirror"),
        ("canary-1", "v2", "v2 is past its evaluation, at canary-1"),
        ("evaluate", "v1", "v1 is the stable version"),
    ],
)
def test_no_record_is_made_of_whom_users_or_their_copies_reach(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, step: str, version: str, told: str
) -> None:
    """Nobody is asked anything: the gate would take it for what users ask."""
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: pytest.fail("asked"))
    _at(cluster, step)
    words = ("--url", "http://here", "--golden", str(GOLDEN[0]), "--record", "--against", "v3")
    refused = CliRunner().invoke(app, ("evaluate", version, *words))
    assert isinstance(refused.exception, Refused)
    assert told in refused.exception.message
    assert "leave out --record" in refused.exception.message
    assert cluster.summary(version) is None


def test_a_record_of_a_version_that_was_sent_back_counts_when_it_is_released_again() -> None:
    walk = Walk().to("canary-1")
    walk.look(FAILED)
    refuse_if_past(walk.road, "v2")
    assert walk.status.phase is Phase.ROLLED_BACK
    assert attempt_of(walk.road, "v2") == 2


def _at(cluster: Cluster, step: str) -> None:
    """As far on its road as that is v2."""
    road = cluster.road("glm")
    assert road is not None
    cluster.write_status(road, Walk().to(step).status)


async def test_a_server_that_is_not_there_is_told() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unreachable, match="does not answer"):
        await ask(HERE, [question()], transport=httpx.MockTransport(refuse))


def test_a_program_reads_the_whole_report_and_knows_by_the_exit_code_that_it_is_worse(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(_endpoint: Endpoint, questions: Sequence[Question]) -> tuple[Answer, ...]:
        return tuple(Answer(each.id, error="HTTP 500") for each in questions)

    monkeypatch.setattr(evaluation, "evaluate", partial(evaluation.evaluate, asked=broken))
    line = {"id": "a", "language": "en", "task": "t", "messages": [], "references": ["x"]}
    (tmp_path / "one.jsonl").write_text(json.dumps(line))
    words = ("--url", "http://here", "--golden", str(tmp_path), "--out", str(tmp_path / "out"))
    done = CliRunner().invoke(app, ("evaluate", "v2", *words, "-o", "json"))
    assert done.exit_code == command.WORSE
    assert json.loads(done.output)["errors"] == {"a": "HTTP 500"}
