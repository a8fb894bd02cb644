"""A candidate's way into the cluster: its image, its pods, its first answers; or home again."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import httpx
import typer
import yaml

from ci.release import charts, image, patience, warmth
from k8s import wishes
from k8s.cli import act
from k8s.cli.place import find
from k8s.errors import Refused
from k8s.phases import plan_of
from k8s.road import Road, Step, Version
from k8s.road.order import Order
from k8s.road.wire import seconds_of

STEPS = ["evaluate", "mirror", "canary-1", "canary-10", "canary-50"]
"""Those that have a job each."""

Values = Annotated[Path, typer.Option(envvar="RELEASE_VALUES", help="What a tag releases.")]
Timeout = Annotated[str, typer.Option(envvar="START_TIMEOUT", help="Until a version answers.")]


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


def settle(
    version: str,
    *,
    status: Annotated[str, typer.Option(envvar="CI_JOB_STATUS", help="Of the job that ends.")],
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds.")] = 10.0,
) -> None:
    """Take a candidate home whose job has not succeeded, not at its deadline but now."""
    if status != "success":
        act.abort(version=version, timeout_s=timeout_s)


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
