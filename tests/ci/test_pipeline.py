"""The pipeline is one that GitLab takes, and leads a release along its road."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from ci.release.candidate import STEPS
from k8s.phases import plan_of
from k8s.road import Policy
from serve_app.models import manifest
from tests.chart import helm
from tests.ci import gitlab
from tests.ci.gitlab import MAIN, ROOT, Job, included, read, rule_of, whole

JOBS = gitlab.jobs()
ROAD = ("deploy", *(step.name for step in plan_of(Policy())), "promote")
BRANCH = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"}
TAG = {"CI_COMMIT_TAG": "v43", "CI_DEFAULT_BRANCH": "main"}
CODE = {"check", "test"}
PIPELINES = {
    "branch": (BRANCH, CODE | {"rollback", "retention"}),
    "tag": (TAG, {*CODE, "build", *ROAD, "abort", "rollback", "retention"}),
    "another tag": ({**TAG, "CI_COMMIT_TAG": "0.1.0"}, CODE | {"rollback"}),
    "merge request": (
        {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_DEFAULT_BRANCH": "main"},
        CODE | {"build", "deploy", "evaluate", "withdraw", "rollback"},
    ),
    "schedule": (
        {**BRANCH, "CI_PIPELINE_SOURCE": "schedule"},
        {"nightly", "retention", "rollback", "verify"},
    ),
    "rollback": ({**BRANCH, "ROLLBACK_TO": "v41"}, {"rollback"}),
}
MANUAL = {
    "branch": {"rollback", "retention"},
    "tag": {"rollback"},
    "another tag": {"rollback"},
    "merge request": {"deploy", "rollback"},
    "schedule": {"rollback"},
    "rollback": set(),
}
each_job = pytest.mark.parametrize("name", JOBS)
each_kind = pytest.mark.parametrize("kind", PIPELINES)


def needs(job: Job) -> list[dict[str, Any]]:
    return [{"job": each} if isinstance(each, str) else each for each in job.get("needs", [])]


def schema_says(*files: Path) -> str:
    """What is wrong by GitLab's own schema, as SchemaStore has it; nothing if all is well."""
    schema = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    check = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run([check, *schema, *files], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_gitlabs_own_schema_takes_every_file() -> None:
    assert schema_says(MAIN, *included()) == ""


def test_gitlabs_own_schema_takes_what_the_files_make_together(tmp_path: Path) -> None:
    """Every job with what it inherits, as GitLab's *full configuration* shows it."""
    common = {name: whole()[name] for name in ("stages", "workflow", "variables", "default")}
    merged = tmp_path / "merged.yml"
    merged.write_text(yaml.safe_dump({**common, **JOBS}), encoding="utf-8")
    assert schema_says(merged) == ""
    merged.write_text(yaml.safe_dump({**common, "broken": {"stage": 7}}), encoding="utf-8")
    assert "broken" in schema_says(merged)


def test_the_main_file_only_names_stages_and_numbered_files() -> None:
    assert read(MAIN).keys() == {"stages", "include"}
    assert included() == sorted((ROOT / "ci").glob("*.yml"))
    assert all(re.match(r"\d\d-[a-z]+\.yml", path.name) for path in included())


@each_job
def test_every_job_has_a_plain_name_a_stage_and_rules(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(-\d+)?", name)
    assert JOBS[name]["stage"] in whole()["stages"]
    assert JOBS[name]["rules"]


@each_kind
def test_every_pipeline_has_its_jobs(kind: str) -> None:
    variables, wanted = PIPELINES[kind]
    rules = {name: rule_of(job, variables) for name, job in JOBS.items()}
    there = {name: rule for name, rule in rules.items() if rule is not None}

    assert there.keys() == wanted
    assert {name for name, rule in there.items() if rule.get("when") == "manual"} == MANUAL[kind]


@each_kind
def test_every_job_finds_what_it_needs_before_it(kind: str) -> None:
    _, there = PIPELINES[kind]
    stages = whole()["stages"]
    for name in there:
        for need in needs(JOBS[name]):
            earlier = stages.index(JOBS[need["job"]]["stage"]) <= stages.index(JOBS[name]["stage"])
            assert earlier, f"{name} needs {need['job']}"
            assert need["job"] in there or need.get("optional"), f"{name} needs {need['job']}"


def test_a_release_takes_the_steps_of_the_road_one_after_the_other() -> None:
    for before, after in pairwise(ROAD):
        assert [each["job"] for each in needs(JOBS[after])] == [before]


def test_every_step_has_its_job() -> None:
    assert ["deploy", *STEPS, "promote"] == list(ROAD)


def test_nothing_is_deployed_that_was_not_checked_and_tested() -> None:
    assert {each["job"] for each in needs(JOBS["deploy"])} == {*CODE, "build"}


def test_whatever_fails_on_the_road_is_taken_back() -> None:
    abort = JOBS["abort"]
    rule = rule_of(abort, TAG)
    assert rule is not None
    assert rule["when"] == "on_failure"
    assert {each["job"] for each in needs(abort)} == set(ROAD)


@pytest.mark.parametrize("name", ROAD)
def test_a_step_that_fails_takes_its_own_candidate_home(name: str) -> None:
    """The job `abort` cannot, where a tool starts it only when all before it have ended."""
    assert JOBS[name]["after_script"] == ['python3 -m ci.release settle "$VERSION"']


@pytest.mark.parametrize("name", [*ROAD, "abort", "rollback", "retention", "verify", "withdraw"])
def test_what_moves_users_is_protected_and_never_interrupted(name: str) -> None:
    job = JOBS[name]
    assert job["interruptible"] is False
    assert job["environment"]["name"] == "$ENVIRONMENT"
    assert job["resource_group"]


def test_steps_wait_for_each_other_and_a_way_back_waits_for_none() -> None:
    assert {JOBS[name]["resource_group"] for name in ROAD} == {"$ENVIRONMENT"}
    assert JOBS["rollback"]["needs"] == []
    for name in ("rollback", "abort", "withdraw"):
        assert JOBS[name]["resource_group"].endswith("-rollback")


def test_only_a_promotion_counts_as_a_deployment() -> None:
    starting = {
        name for name, job in JOBS.items() if job.get("environment", {}).get("action") == "start"
    }

    assert starting == {"promote"}


@each_job
def test_a_job_is_run_again_only_where_its_runner_failed(name: str) -> None:
    assert JOBS[name]["retry"]["when"] == ["runner_system_failure", "scheduler_failure"]


@each_job
def test_images_are_known_by_digest(name: str) -> None:
    variables = whole()["variables"]
    image = JOBS[name].get("image", "$TOOLS_IMAGE")
    assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", variables[image.removeprefix("$")])


@each_job
def test_a_script_is_a_few_commands_and_no_program(name: str) -> None:
    script = JOBS[name]["script"]
    lines = [script] if isinstance(script, str) else script
    assert len(lines) <= 4
    for line in lines:
        known = ("make ", "python3 -m ci.release ", "kubectl-glm ", ". ./")
        assert line.startswith(known)
        assert not set(";|&`\n") & set(line)


@each_kind
def test_a_version_is_named_wherever_it_is_used(kind: str) -> None:
    variables, there = PIPELINES[kind]
    for name in there:
        job = JOBS[name]
        given = {*job.get("variables", {}), *(rule_of(job, variables) or {}).get("variables", {})}
        text = str(job["script"]) + str(job.get("environment")) + str(job.get("resource_group"))
        wanted = {each for each in ("VERSION", "ENVIRONMENT") if f"${each}" in text}
        assert wanted <= given, name


def test_a_release_is_what_the_chart_takes() -> None:
    values = ROOT / "ci" / "release.yaml"
    given = read(values)
    image = f"image.repository=r.example/x,image.digest=sha256:{'1' * 64}"

    rendered = helm.objects("glm-model", values, "--set", f"version=v43,{image}")

    assert helm.the("Service", "glm-v43", rendered)
    assert given.keys().isdisjoint({"version", "image"})
    if given["model"].get("source", "box") == "box":
        folder = ROOT / "serve_app" / "models" / "weights" / given["model"]["name"]
        assert given["model"]["digest"] == manifest.digest(folder)
