"""`python3 -m ci.release`: the steps that jobs run, beside those of `kubectl glm`."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import typer
import yaml

from ci.release import charts, image, patience, retention, warmth
from ci.release.retention import Pods
from k8s import wishes
from k8s.cli import act
from k8s.cli.options import Output
from k8s.cli.place import asker, find, read
from k8s.cli.write import MANAGER, go_home
from k8s.cluster import Cluster
from k8s.errors import Refused, ReleaseError, Unreachable
from k8s.phases import plan_of
from k8s.road import Road, Role, Step, Version
from k8s.road.order import Order
from k8s.road.wire import seconds_of

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

STEPS = ["evaluate", "mirror", "canary-1", "canary-10", "canary-50"]
"""Those that have a job each."""

Values = Annotated[Path, typer.Option(envvar="RELEASE_VALUES", help="What a tag releases.")]
Timeout = Annotated[str, typer.Option(envvar="START_TIMEOUT", help="Until a version answers.")]

_ASLEEP = "did not wake"


@app.command()
def build(
    *,
    repository: Annotated[str, typer.Option(envvar="IMAGE_REPOSITORY")],
    output: Annotated[str, typer.Option(envvar="IMAGE_OUTPUT", help="BuildKit's, beside type.")],
    arguments: Annotated[str, typer.Option(envvar="IMAGE_ARGUMENTS", help="JSON object.")] = "{}",
    revision: Annotated[str, typer.Option(envvar="CI_COMMIT_SHA")] = "unknown",
) -> None:
    """Build the image and its bill of materials; write build.env."""
    given = {"REVISION": revision} | json.loads(arguments)
    with _signed_in(os.environ):
        digest = image.build(repository, given, output)
    image.bill(given)
    _report("build.env", IMAGE_REPOSITORY=repository, IMAGE_DIGEST=digest)


@app.command()
def deploy(
    version: str,
    *,
    repository: Annotated[str, typer.Option(envvar="IMAGE_REPOSITORY")],
    digest: Annotated[str, typer.Option(envvar="IMAGE_DIGEST")],
    values: Values = Path("ci/release.yaml"),
    timeout: Timeout = "20m",
) -> None:
    """Install a version beside the others; write deploy.env, which says what it is made of."""
    _, road = find(None, None, None)
    text = values.read_bytes()
    model_digest = yaml.safe_load(text)["model"]["digest"]
    _may_begin(road, Version(name=version, model_digest=model_digest, image_digest=digest))
    charts.install(version, values, (repository, digest), timeout)
    stable = road.spec.version(road.status.stable or "")
    _report(
        "deploy.env",
        STABLE=road.status.stable or "",
        STABLE_MODEL_DIGEST=stable.model_digest if stable else "",
        MODEL_DIGEST=model_digest,
        CONFIG_DIGEST=hashlib.sha256(text).hexdigest(),
        CHART_VERSION=charts.chart_version(),
    )


@app.command()
def warm(
    version: str,
    *,
    url: Annotated[str, typer.Option(envvar="GATEWAY_URL")],
    times: Annotated[int, typer.Option(help="Answers in a row.")] = 10,
    timeout: Timeout = "20m",
) -> None:
    """Let a version answer before anybody is sent there.

    It has as long as a start takes: Helm does not wait for what KubeRay holds.
    """
    with httpx.Client(base_url=url, timeout=60) as client:
        last_s = warmth.warm(client, version, times, seconds_of(timeout))
    typer.echo(f"{version} has answered {times} times in a row, the last time in {last_s:.2f} s")


@app.command()
def settle(
    version: str,
    *,
    status: Annotated[str, typer.Option(envvar="CI_JOB_STATUS", help="Of the job that ends.")],
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds.")] = 10.0,
) -> None:
    """Take a candidate home whose job has not succeeded, not at its deadline but now."""
    if status != "success":
        act.abort(version=version, timeout_s=timeout_s)


@app.command()
def keep(*, timeout: Timeout = "20m") -> None:
    """Make pods follow roles: warm ones stay, cold ones are suspended, retired ones go.

    Warm ones hold as many replicas as the policy says, or more by their own values. One that
    cannot keeps none of the others from following.
    """
    cluster, road = find(None, None, None)
    pods = _pods(each.name for each in road.spec.versions)
    plan = retention.plan(road, pods)

    def still(kind: str) -> Iterator[tuple[str, int]]:
        """Those of the plan whom no rollback has chosen meanwhile, and their replicas."""
        for version in getattr(plan, kind):
            now = read(cluster, road.name)
            if version in getattr(retention.plan(now, pods), kind):
                yield version, retention.replicas_of(now, version)

    for version, _ in still("remove"):
        charts.uninstall(version)
    for version, _ in still("suspend"):
        charts.suspend(version)
    _forget(plan.forget)
    broken = []
    # Last, for Helm waits for their pods.
    for kind, fault in (("wake", _ASLEEP), ("resize", "does not hold its replicas")):
        for version, replicas in still(kind):
            try:
                _hold(cluster, version, timeout, replicas, fault)
            except Refused as error:
                broken.append(error.message)
    typer.echo(f"{road.name}: {plan}")
    if broken:
        raise Refused(f"Pods do not follow there: {', and '.join(broken)}.")


def _pods(versions: Iterable[str]) -> dict[str, Pods]:
    """Of those that Helm knows."""
    there = charts.installed()
    return {each: charts.pods(each, done=there[each]) for each in versions if each in there}


def _forget(retired: Collection[str]) -> None:
    """Those that are gone, and retired still."""
    _, road = find(None, None, None)
    roles = {each.name: each.role for each in road.status.versions}
    gone = [each for each in retired if roles.get(each) is Role.RETIRED]
    if gone:
        act.forget(versions=gone)


@app.command()
def verify(
    *, url: Annotated[str, typer.Option(envvar="GATEWAY_URL")], timeout: Timeout = "20m"
) -> None:
    """Prove that cold versions would come back: wake each in turn, ask it, let it sleep again."""
    cluster, road = find(None, None, None)
    pods = _pods(each.name for each in road.spec.versions)
    broken = []

    def sleeps(version: str) -> bool:
        """Still: a rollback may have come between."""
        return version in retention.asleep(read(cluster, road.name), pods)

    for version in filter(sleeps, retention.asleep(road, pods)):
        try:
            _hold(cluster, version, timeout)
            warm(version, url=url, timeout=timeout)
        except (Refused, Unreachable) as error:
            broken.append(error.message)
        finally:
            if sleeps(version):
                charts.suspend(version)
    if broken:
        raise Refused(f"Nobody could go back there: {', and '.join(broken)}.")


@app.command()
def rollback(version: Annotated[str, typer.Argument()] = "", *, timeout: Timeout = "20m") -> None:
    """Lead users back; one that sleeps is woken first, and they stay where they are until then."""
    cluster, road = find(None, None, None)
    wish = wishes.rollback(road, version or None, asker())
    home, patience_s, asked = wish["rollbackTo"], 10.0, time.monotonic()
    if not any(each.ready for each in road.status.versions if each.name == home):
        cluster.wish(road.name, dict(wish), MANAGER)  # from now on retention leaves it its pods
        pods = _pods([home]).get(home)
        if pods and (pods.suspended or not pods.done):
            _hold(cluster, home, timeout)
        _still_asked(read(cluster, road.name), home)
        patience_s = seconds_of(timeout)
    go_home(cluster, road, wish, patience_s, Output.TEXT, waited_s=time.monotonic() - asked)


def _hold(
    cluster: Cluster, version: str, timeout: str, kept: int = 0, fault: str = _ASLEEP
) -> None:
    """Raises Refused with what its pods say: Helm's own words are in the log, and tell little."""
    try:
        charts.hold(version, timeout, kept)
    except typer.Exit:
        told = [f"{version} {fault}"]
        with suppress(Unreachable, Refused):
            told += cluster.troubles(version)
        raise Refused("; ".join(told)) from None


def _still_asked(road: Road, home: str) -> None:
    """To wake takes long: whoever has wished otherwise since is not overruled."""
    if road.spec.rollback_to != home:
        raise Refused(f"{home} is awake, but meanwhile somebody asked for {road.spec.target}.")


def _may_begin(road: Road, version: Version) -> None:
    """Raises Refused before anything is installed: a hold, another release, other steps."""
    if os.environ.get("CI_COMMIT_TAG"):
        _has_jobs(plan_of(road.spec.policy))
    order = Order(version=version)
    if not wishes.has_begun(road, order):
        wishes.release(road, order)


def _has_jobs(plan: Sequence[Step]) -> None:
    """GitLab tells CI_JOB_TIMEOUT, which is the runner's where that is shorter."""
    steps = [each.name for each in plan]
    if steps != STEPS:
        raise Refused(f"The policy has the steps {steps}, the pipeline jobs for {STEPS}.")
    waits = (os.environ.get(name, "inf") for name in ("STEP_TIMEOUT", "CI_JOB_TIMEOUT"))
    patience.check(plan, *map(float, waits))


@contextmanager
def _signed_in(given: Mapping[str, str]) -> Iterator[None]:
    """At the project's own registry, where GitLab gives a password for this job."""
    if "CI_REGISTRY_PASSWORD" not in given:
        yield
        return
    names = ("CI_REGISTRY", "CI_REGISTRY_USER", "CI_REGISTRY_PASSWORD")
    with TemporaryDirectory() as folder:
        file = Path(folder, "config.json")
        file.touch(mode=0o600)
        file.write_text(image.credentials(*(given[name] for name in names)), encoding="utf-8")
        os.environ["DOCKER_CONFIG"] = folder
        try:
            yield
        finally:
            del os.environ["DOCKER_CONFIG"]


def _report(file: str, **variables: str) -> None:
    """For jobs that come after, as a dotenv report."""
    lines = "".join(f"{name}={value}\n" for name, value in variables.items())
    Path(file).write_text(lines, encoding="utf-8")
    typer.echo(lines, nl=False)


def main() -> None:
    """Run the step; an error of ours becomes one red sentence and exit code 1."""
    try:
        app(prog_name="python3 -m ci.release")
    except ReleaseError as error:
        typer.secho(error.message, fg=typer.colors.RED, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
