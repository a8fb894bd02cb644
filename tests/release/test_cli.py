"""`kubectl glm`, as it is typed."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import Result
from typer.testing import CliRunner

from k8s.cli import app
from k8s.clocks import Clocks
from k8s.cluster import Cluster
from k8s.controller import Controller
from k8s.errors import BrokenLedger, Refused, Unreachable
from k8s.ledger import read
from k8s.reports import Summary
from k8s.road import Outcome, Verdict
from k8s.sampler import Sampler
from tests.release.api_server import Shelf
from tests.release.conftest import ROADS, SERVICES
from tests.release.worlds import AtOnce, World

NOTES = Path(__file__).parents[2].glob("helm/*/templates/NOTES.txt")
COMMANDS_IN_NOTES = [
    re.sub(r"\{\{ \$ns \}\}", "-n models", re.sub(r"\{\{ \.\S+ \}\}", "v1", found))
    for path in NOTES
    for found in re.findall(r"kubectl glm (.+)", path.read_text(encoding="utf-8"))
]
COMMANDS = (
    "status", "release", "promote", "pause", "resume", "abort", "rollback", "wait", "history",
    "diff", "events", "why", "forget", "evaluate",
)  # fmt: skip


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def told(*words: str) -> Any:
    result = typed(*words, "-o", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


@pytest.fixture
def controller(cluster: Cluster, shelf: Shelf) -> Controller:
    shelf.place(SERVICES, "glm-v3")

    def sampler() -> Sampler:
        return Sampler(World(), AtOnce(), lambda: 0.0, lambda: None)

    made = Controller(cluster, sampler, Clocks(lambda: 1.7e9, lambda: 0.0))
    made.reconcile("glm")
    return made


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    assert typed(command, "--help").exit_code == 0


def test_every_command_speaks_to_programs_too() -> None:
    assert [each for each in COMMANDS if "--output" not in typed(each, "--help").output] == []


def test_who_is_told_that_nothing_is_to_do_is_told_in_json(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    for words in (("release", "v2"), ("abort", "--version", "v3")):
        assert told(*words) == {"road": "glm", "wish": None}


def test_a_program_that_waits_is_told_how_it_ended(
    controller: Controller, cluster: Cluster
) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    waited = typed("wait", "mirror", "--version", "v2", "--timeout", "0.1", "-o", "json")
    assert isinstance(waited.exception, Refused)
    ended = json.loads(waited.output)
    assert (ended["version"], ended["step"], ended["passed"]) == ("v2", "mirror", False)
    assert ended["status"]["phase"] == "Evaluating"
    cluster.wish("glm", {"candidate": None}, "test")
    controller.reconcile("glm")
    assert told("wait", "promoted", "--version", "v1")["passed"]


def test_a_release_is_seen_on_its_way(controller: Controller) -> None:
    assert typed("release", "v2").exit_code == 0
    controller.reconcile("glm")
    status = told("status")["status"]
    assert (status["phase"], status["candidate"]) == ("Evaluating", "v2")
    printed = typed("status").output
    assert "canary-10" in printed
    assert "Evaluating: v1 100 %, v2 0 %." in printed


def test_the_ledger_names_the_pipeline_that_asked(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITLAB_USER_LOGIN", "li")
    monkeypatch.setenv("CI_PIPELINE_URL", "https://gitlab.example/p/7")
    typed("release", "v2")
    controller.reconcile("glm")
    lines = [json.loads(line) for line in typed("history", "-o", "json").output.splitlines()]
    assert lines[-1]["body"]["by"] == "li https://gitlab.example/p/7"
    assert "li" in typed("history").output


def test_a_release_that_was_looked_at_too_early_is_not_written(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    """Two pipelines look at the same time; the second one to write is told to look again."""
    wish = Cluster.wish

    def late(self: Cluster, name: str, changes: dict[str, Any], *more: str) -> Any:
        monkeypatch.setattr(Cluster, "wish", wish)
        wish(cluster, name, {"candidate": "v2"}, "another pipeline")
        return wish(self, name, changes, *more)

    monkeypatch.setattr(Cluster, "wish", late)
    refused = typed("release", "v3").exception
    assert isinstance(refused, Refused)
    assert "asks for v2 now" in refused.message


def test_a_wish_is_written_though_the_controller_has_told_something_new(
    controller: Controller, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    wish = Cluster.wish

    def late(self: Cluster, name: str, changes: dict[str, Any], *more: str) -> Any:
        monkeypatch.setattr(Cluster, "wish", wish)
        road = cluster.road(name)
        assert road is not None
        cluster.write_status(road, replace(road.status, message="looking"))
        return wish(self, name, changes, *more)

    monkeypatch.setattr(Cluster, "wish", late)
    assert typed("release", "v3").exit_code == 0
    assert told("status")["spec"]["candidate"] == "v3"


def test_a_pause_is_told_with_its_reason_and_resumed(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    assert typed("pause", "--reason", "lunch").exit_code == 0
    controller.reconcile("glm")
    assert "lunch" in typed("why").output
    assert typed("resume").exit_code == 0
    controller.reconcile("glm")
    assert "lunch" not in typed("why").output


def test_a_rollback_that_nobody_carries_out_is_an_error(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    result = typed("rollback", "--timeout", "0")
    assert isinstance(result.exception, Refused)
    controller.reconcile("glm")
    assert told("status")["status"]["phase"] == "RolledBack"
    assert told("why")["hold"]["id"] == "hold-3"


def test_events_read_like_a_story(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    assert [each["reason"] for each in told("events")] == ["Adopted", "CandidateNamed"]
    assert "released v2" in typed("events").output.replace("\n", " ")


def test_two_versions_are_compared_by_digests_and_evaluations(
    controller: Controller, cluster: Cluster
) -> None:
    for name, score in (("v1", 30.0), ("v2", 31.0)):
        verdict = Verdict(check="bleu", outcome=Outcome.PASS, message="", candidate=score)
        cluster.write_summary(Summary(version=name, digest="d", verdicts=(verdict,)))
    compared = told("diff", "v1", "v2")
    assert compared["bleu"] == ["30", "31"]
    assert compared["model"][0] != compared["model"][1]
    assert "bleu" in typed("diff", "v1", "v2").output
    assert isinstance(typed("diff", "v1", "v9").exception, Refused)


def test_a_version_that_is_not_deployed_is_not_released(controller: Controller) -> None:
    refused = typed("release", "v99", "--model-digest", "9" * 64).exception
    assert isinstance(refused, Refused)
    assert "deploy v99 first" in refused.message
    assert "candidate" not in told("status")["spec"]


NAMESPACES = "/api/v1/namespaces"


@pytest.mark.parametrize("command", ["status", "rollback", "abort"])
def test_in_a_namespace_without_a_road_one_is_told_where_there_is_one(
    controller: Controller, shelf: Shelf, command: str
) -> None:
    shelf.put(f"{NAMESPACES}/elsewhere", {"metadata": {"name": "elsewhere"}})
    assert str(typed(command, "--namespace", "elsewhere").exception) == (
        "There is no ModelRoad in the namespace elsewhere; there is one in models (glm): "
        "name it with --namespace."
    )
    assert str(typed(command, "--namespace", "nosuchns").exception) == (
        "There is no namespace nosuchns; there is one in models (glm): name it with --namespace."
    )


def test_whoever_may_not_look_elsewhere_is_told_of_nothing_there(
    controller: Controller, shelf: Shelf
) -> None:
    shelf.confined = True
    assert str(typed("abort", "--namespace", "elsewhere").exception) == (
        "There is no ModelRoad in the namespace elsewhere; name another with --namespace."
    )


@pytest.mark.parametrize("named", [(), ("--road", "glm")])
def test_where_there_is_no_road_at_all_one_is_told_how_to_make_it(
    shelf: Shelf, named: tuple[str, ...]
) -> None:
    elsewhere = ("abort", "--namespace", "elsewhere", *named)
    shelf.objects = {f"{NAMESPACES}/elsewhere": {}}
    told = "this cluster knows no ModelRoad: install helm/glm-platform first"
    assert told in str(typed(*elsewhere).exception)
    shelf.known = {"modelroads"}
    assert "helm install glm-road" in str(typed(*elsewhere).exception)


def test_a_version_is_told() -> None:
    assert typed("--version").output.startswith("kubectl glm ")


def test_of_a_book_with_a_gap_all_is_shown_that_is_there_and_the_gap(
    controller: Controller, shelf: Shelf
) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    typed("abort", "--timeout", "0")
    controller.reconcile("glm")
    lost = next(path for path in shelf.objects if path.endswith("glm-ledger-000002"))
    del shelf.objects[lost]

    for words in ((), ("--digests",)):
        shown = typed("history", *words)
        assert [line.split()[:2] for line in shown.output.splitlines()[2:3]] == [["2", "missing"]]
        assert "record 2 is missing" in str(shown.exception)
        assert "--selector glm-serve.io/ledger=glm" in str(shown.exception)
    exported = typed("history", "-o", "json")
    assert [json.loads(line)["number"] for line in exported.output.splitlines()] == [1, 3]
    assert isinstance(exported.exception, BrokenLedger)


@pytest.mark.parametrize("words", [(), ("--digests",)])
def test_a_gap_is_one_row_however_great_the_number_after_it(
    controller: Controller, shelf: Shelf, words: tuple[str, ...]
) -> None:
    """Whoever may write ConfigMaps may forge one whose hash is right."""
    controller.reconcile("glm")
    kept = next(each for path, each in shelf.objects.items() if path.endswith("000001"))
    forged = replace(read(kept["data"]["record"]), number=10**9)
    kept["data"]["record"] = forged.line()

    shown = typed("history", *words)

    rows = [line.split()[:2] for line in shown.output.splitlines()[1:3]]
    assert rows[0] == ["1\u2013999999999", "missing"]
    assert rows[1][0] == "1000000000"
    assert "record 1 is missing" in str(shown.exception)


def test_of_a_book_in_which_a_record_was_changed_the_others_are_shown(
    controller: Controller, shelf: Shelf
) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    record = next(each for path, each in shelf.objects.items() if path.endswith("000001"))
    record["data"]["record"] = record["data"]["record"].replace("has all", "had all")

    shown = typed("history")

    assert [line.split()[0] for line in shown.output.splitlines()] == ["no", "1", "2"]
    assert "record 1 was changed after it was written" in str(shown.exception)


def test_of_versions_without_digests_nothing_is_compared(
    controller: Controller, cluster: Cluster
) -> None:
    cluster.wish("glm", {"versions": [{"name": "v1"}, {"name": "v2"}]}, "test")
    assert typed("diff", "v1", "v2").output.splitlines() == [
        "Of v1 and v2 nothing is known: no digests, no report."
    ]


def test_a_hold_is_told_once(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    typed("pause", "--reason", "lunch")
    controller.reconcile("glm")
    assert typed("why").output.count("lunch") == 1
    typed("resume")
    typed("rollback", "--timeout", "0")
    controller.reconcile("glm")
    told = typed("why").output
    assert told.count("Held by hold-3") == 1
    assert "kubectl glm resume --hold hold-3 lifts it" in told


def test_an_error_of_use_is_a_sentence_without_a_frame() -> None:
    wrong = typed("pause")
    assert wrong.exit_code == 2
    assert wrong.output.splitlines()[-1] == "Error: Missing option '--reason' / '-m'."


def test_where_nobody_looks_every_line_stays_whole(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    lines = typed("history").output.splitlines()
    assert [line.split()[0] for line in lines] == ["no", "1", "2"]
    assert not set("┃│━") & set("".join(lines))


def test_an_auditor_sees_what_was_released(controller: Controller) -> None:
    words = ("--image-digest", "1" * 64, "--config-digest", "2" * 64, "--chart-version", "1.2.3")
    assert typed("release", "v3", *words).exit_code == 0
    controller.reconcile("glm")
    row = typed("history", "--digests").output.splitlines()[-1].split()
    assert row[1:3] == ["Evaluating", "v3"]
    assert row[4:7] == ["1" * 12, "1.2.3", "2" * 12]


@pytest.mark.parametrize("command", COMMANDS_IN_NOTES)
def test_what_notes_tell_to_type_can_be_typed(command: str) -> None:
    assert typed(*command.split(), "--help").exit_code == 0


def test_nobody_waits_in_vain_because_the_api_server_was_gone_for_a_moment(
    controller: Controller, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    moments = iter((True, True, False))
    monkeypatch.setattr(
        "k8s.cli.follow.time.sleep", lambda _: setattr(shelf, "stranger", next(moments, False))
    )
    waited = typed("wait", "mirror", "--version", "v2", "--timeout", "0.5")
    assert isinstance(waited.exception, Refused), "its time is over, and nothing else"


def test_a_way_back_is_asked_for_until_the_api_server_hears_it(
    controller: Controller, shelf: Shelf, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    wish, deaf = Cluster.wish, iter((True, True))

    def late(self: Cluster, *words: Any) -> Any:
        if next(deaf, False):
            raise Unreachable("gone for a moment")
        made = wish(self, *words)
        controller.reconcile("glm")
        return made

    monkeypatch.setattr(Cluster, "wish", late)
    assert typed("rollback", "--timeout", "5").exit_code == 0


def test_with_two_roads_one_must_be_named(controller: Controller, shelf: Shelf) -> None:
    spec = told("status")["spec"]
    shelf.place(ROADS, "other", spec=spec)
    assert isinstance(typed("status").exception, Refused)
    assert typed("status", "--road", "other").exit_code == 0
    assert "there is glm, other" in str(typed("status", "--road", "third").exception)


def test_who_waits_is_told_that_a_candidate_was_sent_back(
    controller: Controller, cluster: Cluster, tmp_path: Path
) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    cluster.wish("glm", {"rollbackTo": "v1"}, "test")
    controller.reconcile("glm")
    result = typed("wait", "mirror", "--version", "v2", "--out", str(tmp_path))
    assert isinstance(result.exception, Refused)
    assert "sent back" in result.exception.message
    assert "RolledBack" in (tmp_path / "verdict.md").read_text()


def test_a_release_that_is_asked_for_twice_goes_on(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    again = typed("release", "v2")
    assert again.exit_code == 0
    assert "already" in again.output


def test_a_pipeline_takes_back_its_own_candidate_alone(controller: Controller) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    assert "v3 is not under way" in typed("abort", "--version", "v3").output
    assert told("status")["spec"]["candidate"] == "v2"
    unseen = typed("abort", "--version", "v2", "--timeout", "0.2")
    assert isinstance(unseen.exception, Refused), "the controller has not looked since"
    assert "candidate" not in told("status")["spec"]


def test_a_verdict_is_left_for_a_merge_request(controller: Controller, tmp_path: Path) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    assert typed("why", "--out", str(tmp_path / "verdict")).exit_code == 0
    assert "Evaluating" in (tmp_path / "verdict" / "verdict.md").read_text()
    suite = ET.fromstring((tmp_path / "verdict" / "junit.xml").read_bytes())  # noqa: S314 -- our own
    assert suite.tag == "testsuite"


def test_what_is_retired_is_forgotten(controller: Controller, cluster: Cluster) -> None:
    typed("release", "v2")
    controller.reconcile("glm")
    cluster.wish("glm", {"rollbackTo": "v1"}, "test")
    controller.reconcile("glm")
    assert typed("forget", "v2").exit_code == 0
    assert "v2" not in [each["name"] for each in told("status")["spec"]["versions"]]


def test_a_road_at_which_nobody_has_looked_has_no_phase(cluster: Cluster) -> None:
    assert typed("status").output.splitlines()[0].split() == ["glm", "-"]


@pytest.mark.parametrize(
    ("url", "told"),
    [("http://127.0.0.1:9", "does not answer"), ("gateway", "is no address such as")],
)
def test_an_evaluation_that_reaches_nobody_says_so(tmp_path: Path, url: str, told: str) -> None:
    (tmp_path / "one.jsonl").write_text(
        json.dumps({"id": "a", "language": "en", "task": "t", "messages": [], "references": ["x"]})
    )
    golden = ("--golden", str(tmp_path / "one.jsonl"), "--out", str(tmp_path))
    assert told in str(typed("evaluate", "v2", "--url", url, *golden).exception)


def test_an_evaluation_outside_of_the_repository_asks_for_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "--golden" in str(typed("evaluate", "v2", "--url", "http://x").exception)
    misspelt = typed("evaluate", "v2", "--url", "http://x", "--golden", "godlen")
    assert "No golden sets at godlen" in str(misspelt.exception)


def test_a_record_that_is_written_a_moment_later_is_waited_for(
    controller: Controller, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {path: each for path, each in shelf.objects.items() if "ledger" in path}
    assert kept
    for path in kept:
        del shelf.objects[path]
    monkeypatch.setattr("k8s.cli.look.time.sleep", lambda _: shelf.objects.update(kept))
    assert typed("history").exit_code == 0
    for path in kept:
        del shelf.objects[path]
    monkeypatch.setattr("k8s.cli.look.time.sleep", lambda _: None)
    assert "taken away" in str(typed("history").exception)
