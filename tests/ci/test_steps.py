"""Steps as a job runs them: what they start, what they leave, what they refuse."""

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from ci.release import charts
from ci.release.__main__ import app
from k8s.cli.place import read
from k8s.clocks import Clocks
from k8s.cluster import Cluster
from k8s.controller import Controller
from k8s.errors import Refused, Unreachable
from k8s.road import Phase, Road, Role, Stable, VersionState, Weight
from k8s.sampler import Sampler
from tests.ci.conftest import Calls
from tests.ci.gitlab import ROOT
from tests.release.api_server import Shelf
from tests.release.conftest import SLICES, cluster, shelf  # noqa: F401 -- fixtures
from tests.release.worlds import AtOnce, World

OTHER = f"sha256:{'b' * 64}"
DIGEST = f"sha256:{'a' * 64}"
IMAGE = ("--repository", "registry.example/glm", "--digest", DIGEST)


def step(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder."""
    shutil.copytree(ROOT / "helm", tmp_path / "helm")
    (tmp_path / "ci").mkdir()
    shutil.copy(ROOT / "ci" / "release.yaml", tmp_path / "ci")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def adopted(cluster: Cluster) -> Controller:  # noqa: F811
    made = Controller(
        cluster,
        lambda: Sampler(World(), AtOnce(), lambda: 0.0, lambda: None),
        Clocks(lambda: 1.7e9, lambda: 0.0),
    )
    made.reconcile("glm")
    return made


@pytest.fixture
def retired(adopted: Controller, cluster: Cluster) -> Controller:  # noqa: F811
    """Of a road that has sent v2 home."""
    cluster.wish("glm", {"candidate": "v2"}, "test")
    adopted.reconcile("glm")
    cluster.wish("glm", {"rollbackTo": "v1"}, "test")
    adopted.reconcile("glm")
    return adopted


def test_an_image_is_pushed_by_digest_and_its_bill_is_of_the_same_layers(
    desk: Path, programs: Callable[..., Calls]
) -> None:
    calls = programs(buildctl={})
    done = step("build", "--repository", "registry.example/glm", "--output", "push=true")

    assert done.exit_code == 0, done.output
    assert (desk / "build.env").read_text() == (
        f"IMAGE_REPOSITORY=registry.example/glm\nIMAGE_DIGEST={DIGEST}\n"
    )
    image, bill = calls()
    assert "--output=type=image,name=registry.example/glm,oci-mediatypes=true,push=true" in image
    assert {"--opt=target=sbom", "--opt=build-arg:REVISION=unknown"} <= set(bill)


def test_an_image_is_pushed_with_the_password_of_its_job_alone(
    desk: Path, programs: Callable[..., Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = programs(buildctl={})
    for name, value in (("", "registry.example"), ("_USER", "li"), ("_PASSWORD", "open")):
        monkeypatch.setenv(f"CI_REGISTRY{name}", value)

    done = step("build", "--repository", "registry.example/glm", "--output", "push=true")

    assert done.exit_code == 0, done.output
    kept = json.loads((desk / "calls.auth").read_text())
    assert base64.b64decode(kept["auths"]["registry.example"]["auth"]) == b"li:open"
    assert "open" not in done.output + str(calls())
    assert "DOCKER_CONFIG" not in os.environ


def test_a_deployment_says_what_it_is_made_of(
    desk: Path, adopted: Controller, programs: Callable[..., Calls]
) -> None:
    calls = programs(helm={})
    done = step("deploy", "v43", *IMAGE)

    assert done.exit_code == 0, done.output
    told = dict(line.split("=", 1) for line in (desk / "deploy.env").read_text().splitlines())
    assert told["STABLE"] == "v1"
    assert len(told["MODEL_DIGEST"]) == len(told["CONFIG_DIGEST"]) == 64
    (install,) = calls()
    assert install[1:4] == ["upgrade", "--install", "glm-v43"]
    assert f"--set-string=image.digest={DIGEST}" in install


@pytest.mark.parametrize(
    ("version", "wish", "why"),
    [
        ("v1", {}, "stable version already"),
        ("v43", {"candidate": "v2"}, "v2 is under way"),
        ("v43", {"hold": {"by": "li", "reason": "lunch"}}, "lunch"),
        ("v2", {"versions": [{"name": "v1"}, {"name": "v2", "imageDigest": OTHER}]}, "immutable"),
    ],
)
def test_nothing_is_installed_that_may_not_begin(
    desk: Path,
    adopted: Controller,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
    *,
    version: str,
    wish: dict[str, Any],
    why: str,
) -> None:
    calls = programs(helm={})
    cluster.wish("glm", wish, "test")
    adopted.reconcile("glm")

    refused = step("deploy", version, *IMAGE)

    assert isinstance(refused.exception, Refused)
    assert why in refused.exception.message
    with pytest.raises(FileNotFoundError):
        calls()


@pytest.mark.parametrize(
    ("ended", "candidate"), [("success", "v2"), ("failed", None), ("canceled", None)]
)
def test_a_job_that_has_not_succeeded_takes_its_candidate_home(
    adopted: Controller,
    cluster: Cluster,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    *,
    ended: str,
    candidate: str | None,
) -> None:
    monkeypatch.setenv("CI_JOB_STATUS", ended)
    cluster.wish("glm", {"candidate": "v2"}, "test")
    adopted.reconcile("glm")

    done = step("settle", "v2", "--timeout", "0.1")

    assert isinstance(done.exception, Refused) is (ended != "success"), "nobody has carried it out"
    road = cluster.road("glm")
    assert road is not None
    assert road.spec.candidate == candidate


def test_a_road_with_other_steps_than_the_pipeline_has_jobs_is_refused(
    desk: Path,
    adopted: Controller,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI_COMMIT_TAG", "v43")
    programs(helm={})
    assert step("deploy", "v43", *IMAGE).exit_code == 0
    cluster.wish("glm", {"policy": {"mirror": {"percent": 0}}}, "test")
    refused = step("deploy", "v43", *IMAGE)
    assert isinstance(refused.exception, Refused)
    assert "pipeline jobs for" in refused.exception.message


def test_a_road_that_outlasts_the_jobs_of_the_pipeline_is_refused(
    desk: Path, adopted: Controller, programs: Callable[..., Calls], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_COMMIT_TAG", "v43")
    calls = programs(helm={})
    monkeypatch.setenv("STEP_TIMEOUT", "3599")
    refused = step("deploy", "v43", *IMAGE)

    assert isinstance(refused.exception, Refused)
    assert "may take 1h" in refused.exception.message
    with pytest.raises(FileNotFoundError):
        calls()

    monkeypatch.setenv("STEP_TIMEOUT", "3600")
    assert step("deploy", "v43", *IMAGE).exit_code == 0


def releases(*names: str, status: str = "deployed") -> str:
    kind = {"chart": "glm-model-0.1.0", "status": status}
    return json.dumps([{"name": f"glm-{name}", **kind} for name in names])


@pytest.mark.usefixtures("retired")
def test_what_a_road_has_retired_is_uninstalled_and_forgotten(
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
) -> None:
    calls = programs(helm={"list": releases("v1", "v2"), "get values": "{}"})

    done = step("keep")

    assert done.exit_code == 0, done.output
    assert calls()[-1] == ["helm", "uninstall", "glm-v2"]
    road = cluster.road("glm")
    assert road is not None
    assert road.spec.version("v2") is None
    assert road.spec.version("v1") is not None


def test_a_version_that_a_rollback_has_chosen_meanwhile_is_not_uninstalled(
    retired: Controller,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between the plan and the act: somebody releases again what was retired."""
    calls = programs(helm={"list": releases("v1", "v2"), "get values": "{}"})
    hold = cluster.road("glm").status.hold.id  # type: ignore[union-attr]
    again = {"candidate": "v2", "attempt": 2, "rollbackTo": None, "liftHold": hold}

    def meanwhile(*given: Any) -> Any:
        cluster.wish("glm", again, "test")
        retired.reconcile("glm")
        return read(*given)

    monkeypatch.setattr("ci.release.following.read", meanwhile)
    assert step("keep").exit_code == 0
    assert not [call for call in calls() if "uninstall" in call]


@pytest.fixture
def former(adopted: Controller, cluster: Cluster, shelf: Shelf) -> Controller:  # noqa: F811
    """v2 has replaced v1, which nobody keeps warm and behind which nobody answers."""
    shelf.place(SLICES, "glm-v1-abcde", endpoints=[])
    road = cluster.wish("glm", {"stable": "v2", "policy": {"warm": 0}}, "test")
    promoted = replace(
        road.status,
        phase=Phase.PROMOTED,
        stable="v2",
        stables=tuple(Stable(version=each, promoted_at=0.0) for each in ("v2", "v1")),
        weights=(Weight(version="v2", weight=100),),
    )
    cluster.write_status(road, promoted)
    adopted.reconcile("glm")
    return adopted


def looked(controller: Controller) -> Road:
    road = controller.reconcile("glm")
    assert road is not None
    return road


def role_of(road: Road, version: str) -> Role:
    return next(each.role for each in road.status.versions if each.name == version)


def answering(shelf: Shelf, version: str) -> None:  # noqa: F811
    name, endpoint = f"glm-{version}", {"conditions": {"ready": True}}
    labels = {"kubernetes.io/service-name": name}
    shelf.place(SLICES, f"{name}-abcde", labels=labels, endpoints=[endpoint])


def test_a_rollback_is_asked_for_before_its_version_is_woken(
    former: Controller,
    shelf: Shelf,  # noqa: F811
    programs: Callable[..., Calls],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs(helm={"list": releases("v1", "v2"), "get values": '{"suspended": true}'})
    assert role_of(looked(former), "v1") is Role.COLD

    def wake(version: str, *_: object) -> None:
        """Retention may look as long as that takes; then pods answer."""
        road = looked(former)
        assert (road.status.stable, role_of(road, version)) == ("v2", Role.WARM)
        answering(shelf, version)
        looked(former)
        awake = time.monotonic() + 1000
        monkeypatch.setattr("time.monotonic", lambda: awake)

    monkeypatch.setattr("ci.release.charts.hold", wake)
    done = step("rollback", "v1")

    assert done.exit_code == 0, done.output
    assert re.search(r"v1 has all traffic, 10\d\d\.\d\d s after it was asked for", done.output)


def test_whoever_asks_otherwise_while_a_version_is_woken_is_not_overruled(
    former: Controller,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs(helm={"list": releases("v1", "v2"), "get values": '{"suspended": true}'})
    looked(former)

    def wake(*_: object) -> None:
        cluster.wish("glm", {"rollbackTo": None}, "test")

    monkeypatch.setattr("ci.release.charts.hold", wake)
    refused = step("rollback", "v1")

    assert isinstance(refused.exception, Refused)
    assert "meanwhile somebody asked for v2" in refused.exception.message
    assert looked(former).status.stable == "v2"


@pytest.mark.parametrize("version", ["v1", ""])
def test_a_version_that_answers_is_gone_back_to_without_helm(
    former: Controller,
    shelf: Shelf,  # noqa: F811
    programs: Callable[..., Calls],
    monkeypatch: pytest.MonkeyPatch,
    *,
    version: str,
) -> None:
    calls = programs(helm={})
    answering(shelf, "v1")
    looked(former)
    write = Cluster.wish

    def wish(*given: Any) -> Road:
        written = write(*given)
        looked(former)
        return written

    monkeypatch.setattr(Cluster, "wish", wish)
    done = step("rollback", version)

    assert done.exit_code == 0, done.output
    assert "v1 has all traffic" in done.output
    with pytest.raises(FileNotFoundError):
        calls()


@pytest.mark.parametrize(
    ("values", "woken"), [('{"suspended": true}', True), ('{"suspended": false}', False)]
)
def test_only_a_suspended_version_is_woken(
    former: Controller, programs: Callable[..., Calls], values: str, *, woken: bool
) -> None:
    calls = programs(helm={"list": releases("v1", "v2"), "get values": values})
    looked(former)

    unseen = step("rollback", "v1", "--timeout", "0s")

    assert isinstance(unseen.exception, Refused), "nobody answers behind it even then"
    assert bool(suspensions(calls)) is woken


def test_a_version_whose_waking_failed_is_woken_again(
    former: Controller, programs: Callable[..., Calls]
) -> None:
    """Helm has noted its values, whatever became of its pods."""
    there = {"list": releases("v1", "v2", status="failed"), "get values": '{"suspended": false}'}
    calls = programs(helm=there)
    looked(former)

    step("rollback", "v1", "--timeout", "0s")

    assert suspensions(calls) == AWOKEN


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], list[str]]:
    """`asked(then)`: the versions that are asked something, and what happens meanwhile."""

    def make(then: Callable[[], None]) -> list[str]:
        names: list[str] = []

        def warm(_client: Any, version: str, *_: Any) -> float:
            names.append(version)
            then()
            return 0.1

        monkeypatch.setattr("ci.release.warmth.warm", warm)
        return names

    return make


def test_a_warm_version_is_held_to_the_replicas_of_the_policy(
    former: Controller,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
) -> None:
    """Once: what holds as many is left alone."""
    cluster.wish("glm", {"policy": {"warm": 1, "warmReplicas": 3}}, "test")
    assert role_of(looked(former), "v1") is Role.WARM
    there = {"list": releases("v1", "v2"), "get values glm-v1": '{"replicas": {"min": 2}}'}
    calls = programs(helm=there | {"get": "{}"})

    assert step("keep").exit_code == 0

    (changed,) = (call for call in calls() if call[1] == "upgrade")
    assert changed[2] == "glm-v1"
    awake = "--set=suspended=false,replicas.kept=3"
    assert {awake, "--wait", "--reset-then-reuse-values"} < set(changed)
    there["get values glm-v1"] = '{"replicas": {"min": 2, "kept": 3}}'
    before, calls = len(calls()), programs(helm=there | {"get": "{}"})
    assert step("keep").exit_code == 0
    assert all(call[1] != "upgrade" for call in calls()[before:])


def test_a_version_that_is_warm_again_is_woken_with_the_replicas_of_the_policy(
    former: Controller,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
) -> None:
    cluster.wish("glm", {"policy": {"warm": 1, "warmReplicas": 3}}, "test")
    looked(former)
    calls = programs(helm=ASLEEP)

    assert step("keep").exit_code == 0

    assert suspensions(calls) == ["--set=suspended=false,replicas.kept=3"]


def test_a_version_has_as_long_to_answer_as_a_start_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what KubeRay holds Helm knows no end to wait for."""
    patience: list[float] = []

    def warm(_client: Any, _version: str, _times: int, patience_s: float) -> float:
        patience.append(patience_s)
        return 0.1

    monkeypatch.setattr("ci.release.warmth.warm", warm)
    done = step("warm", "v43", "--url", "http://gateway.example", "--timeout", "25m")

    assert done.exit_code == 0, done.output
    assert patience == [1500.0]


def suspensions(calls: Calls) -> list[str]:
    """What `suspended` was set to, in turn."""
    return [word for call in calls() for word in call if word.startswith("--set=suspended=")]


ASLEEP = {"list": releases("v1", "v2"), "get values glm-v1": '{"suspended": true}', "get": "{}"}
AWOKEN = ["--set=suspended=false,replicas.kept=0"]
VERIFY = ("verify", "--url", "http://gateway.example")


def test_a_cold_version_is_woken_asked_and_put_to_sleep_again(
    former: Controller,
    programs: Callable[..., Calls],
    asked: Callable[[Callable[[], None]], list[str]],
) -> None:
    looked(former)
    calls, names = programs(helm=ASLEEP), asked(lambda: None)

    done = step(*VERIFY)

    assert done.exit_code == 0, done.output
    assert names == ["v1"]
    assert suspensions(calls) == [*AWOKEN, "--set=suspended=true"]


def test_a_cold_version_that_would_not_come_back_is_named_and_sleeps_again(
    former: Controller,
    programs: Callable[..., Calls],
    asked: Callable[[Callable[[], None]], list[str]],
) -> None:
    def silent() -> None:
        raise Unreachable("v1 was not warm after 120 s")

    looked(former)
    calls = programs(helm=ASLEEP)
    asked(silent)

    refused = step(*VERIFY)

    assert isinstance(refused.exception, Refused)
    assert "v1 was not warm" in refused.exception.message
    assert suspensions(calls) == [*AWOKEN, "--set=suspended=true"]


@pytest.fixture
def crowded(adopted: Controller, cluster: Cluster) -> Road:  # noqa: F811
    """Beside v1: two warm ones with too few replicas, one without pods, a retired one."""
    roles = {"v1": Role.STABLE, "v2": Role.WARM, "v3": Role.WARM, "v4": Role.WARM}
    roles |= {"v5": Role.RETIRED}
    policy = {"policy": {"warmReplicas": 3}}
    road = cluster.wish("glm", {"versions": [{"name": each} for each in roles], **policy}, "test")
    states = (VersionState(name=each, role=roles[each], weight=0, ready=0) for each in roles)
    return cluster.write_status(road, replace(road.status, versions=tuple(states)))


def refused_permission(*_: object) -> None:
    raise Refused("pods is forbidden")


@pytest.mark.parametrize("failing", [["v4"], ["v2", "v3"]], ids=["wake", "resize"])
def test_a_version_that_cannot_follow_keeps_no_other_from_it_and_is_named(
    crowded: Road,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
    monkeypatch: pytest.MonkeyPatch,
    failing: list[str],
) -> None:
    """Though nobody may read its pods."""
    names = [each.name for each in crowded.spec.versions]
    asleep = {"get values glm-v4": '{"suspended": true}'}
    calls = programs(helm={"list": releases(*names), **asleep, "get": "{}"})
    tried, hold = [], charts.hold

    def fail(version: str, *words: Any) -> None:
        tried.append(version)
        if version in failing:
            raise typer.Exit(1)
        hold(version, *words)

    monkeypatch.setattr("ci.release.charts.hold", fail)
    monkeypatch.setattr(Cluster, "troubles", refused_permission)

    refused = step("keep")

    assert isinstance(refused.exception, Refused)
    assert all(version in refused.exception.message for version in failing)
    done = {call[2] for call in calls() if call[1] in {"upgrade", "uninstall"}}
    assert tried == ["v4", "v2", "v3"]
    assert done == {"glm-v2", "glm-v3", "glm-v4", "glm-v5"} - {f"glm-{each}" for each in failing}
    road = cluster.road("glm")
    assert road is not None
    assert road.spec.version("v5") is None


@pytest.mark.parametrize("words", [VERIFY, ("rollback", "v1")])
def test_a_cold_version_that_does_not_wake_is_named_with_what_its_pods_say(
    former: Controller,
    programs: Callable[..., Calls],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    def fail(*_: object) -> None:
        raise typer.Exit(1)

    looked(former)
    programs(helm=ASLEEP)
    monkeypatch.setattr("ci.release.charts.hold", fail)
    monkeypatch.setattr(Cluster, "troubles", lambda _, version: (f"no room for {version}",))

    refused = step(*words)

    assert isinstance(refused.exception, Refused)
    assert "v1 did not wake; no room for v1" in refused.exception.message


def test_a_cold_version_that_somebody_goes_back_to_meanwhile_stays_awake(
    former: Controller,
    cluster: Cluster,  # noqa: F811
    programs: Callable[..., Calls],
    asked: Callable[[Callable[[], None]], list[str]],
) -> None:
    looked(former)
    calls = programs(helm=ASLEEP)
    asked(lambda: cluster.wish("glm", {"rollbackTo": "v1"}, "test") and None)

    assert step(*VERIFY).exit_code == 0
    assert suspensions(calls) == AWOKEN
