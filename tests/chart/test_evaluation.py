"""The Job that evaluates a candidate where no pipeline does."""

import pytest
import typer

from k8s.cli import app
from k8s.cli.evaluate import WORSE
from tests.chart import helm
from tests.chart.helm import Object, objects, of_kind
from tests.chart.network import Peer, allowed

VALUES = helm.chart("glm-road") / "ci" / "evaluation-values.yaml"
API = Peer({}, None)  # an address, no pod
EVALUATOR = Peer(
    {
        "app.kubernetes.io/name": "glm-road",
        "app.kubernetes.io/instance": "glm-road",
        "app.kubernetes.io/component": "evaluator",
    }
)
MODEL = Peer({"app.kubernetes.io/name": "glm-model", "app.kubernetes.io/instance": "glm-v42"})
NEIGHBOUR = Peer({"app": "anything"})


def job(*arguments: str) -> Object:
    (found,) = of_kind("Job", objects("glm-road", VALUES, *arguments))
    return found


def container(found: Object) -> Object:
    (only,) = found["spec"]["template"]["spec"]["containers"]
    return only


def test_it_types_what_a_person_could() -> None:
    """The command's own parser takes it, and reads it so."""
    given = container(job())
    assert given["command"] == ["python", "-m", "k8s", "evaluate"]
    commands = typer.main.get_command(app)
    command = commands.get_command(typer.Context(commands), "evaluate")  # type: ignore[attr-defined]
    read = command.make_context("evaluate", list(given["args"])).params

    assert (read["version"], read["against"], read["margin"]) == ("v42", "v41", 0.1)
    assert (read["url"], read["against_url"]) == ("http://glm-v42:8000", "http://glm-v41:8000")
    assert (read["digest"], read["against_digest"]) == ("3" * 64, "2" * 64)
    assert read["attempt"] == 1
    assert read["record"]
    assert not read["pin"]
    mounts = [each["mountPath"] for each in given["volumeMounts"]]
    assert [str(each) for each in read["golden"]] == ["/golden"]
    assert {"/golden", "/tmp"} == set(mounts)  # noqa: S108 -- in the pod


def test_a_candidate_that_still_loads_is_asked_again_and_a_worse_one_is_not() -> None:
    spec = job()["spec"]
    assert spec["backoffLimit"] > 1
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    failing = spec["podFailurePolicy"]["rules"][0]
    assert (failing["action"], failing["onExitCodes"]["values"]) == ("FailJob", [WORSE])


@pytest.mark.parametrize(
    "change",
    [
        "candidate=v43,versions[1].name=v43",
        "attempt=2",
        "versions[1].modelDigest=a4",
        "evaluation.golden=ours",
    ],
)
def test_whatever_is_evaluated_anew_is_so_by_a_job_of_its_own(change: str) -> None:
    """Kubernetes refuses to change a Job."""
    assert job("--set", change)["metadata"]["name"] != job()["metadata"]["name"]
    assert job("--set", "requestedBy=li")["metadata"] == job()["metadata"]


@pytest.mark.parametrize(
    "change",
    ["candidate=", "policy.evaluate.required=false", "evaluation.enabled=false"],
)
def test_where_nothing_is_to_be_evaluated_nobody_has_an_account_for_it(change: str) -> None:
    kinds = {each["kind"] for each in objects("glm-road", VALUES, "--set", change)}
    assert kinds == {"ModelRoad"}


def test_its_account_may_write_this_report_and_no_more() -> None:
    among = objects("glm-road", VALUES)
    (role,), (binding,) = of_kind("Role", among), of_kind("RoleBinding", among)
    maps = {"apiGroups": [""], "resources": ["configmaps"]}
    assert role["rules"] == [
        {**maps, "verbs": ["create"]},
        {**maps, "resourceNames": ["glm-eval-v42"], "verbs": ["update"]},
    ]
    (subject,) = binding["subjects"]
    account = job()["spec"]["template"]["spec"]["serviceAccountName"]
    assert (subject["name"], binding["roleRef"]["name"]) == (account, role["metadata"]["name"])


@pytest.mark.parametrize("platform", [True, False])
def test_it_reaches_models_and_the_api_server_alone(platform: bool) -> None:
    """Beside the platform's policies, and where there are none."""
    given = of_kind("NetworkPolicy", objects("glm-road", VALUES))
    if platform:
        values = helm.chart("glm-platform") / "ci" / "default-values.yaml"
        given += of_kind("NetworkPolicy", objects("glm-platform", values))

    assert allowed(given, EVALUATOR, MODEL, 8000)
    assert allowed(given, EVALUATOR, API, 6443)
    assert not allowed(given, EVALUATOR, NEIGHBOUR, 8000)
    assert not allowed(given, EVALUATOR, API, 80)
    assert not allowed(given, NEIGHBOUR, EVALUATOR, 8000)
