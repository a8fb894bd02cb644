"""A release as GitLab runs it: a tag, all its steps under users, and the ways back and out."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import yaml

from serve_app.models import manifest
from tests.cluster import charts, traffic
from tests.cluster.kube import Cluster, Object
from tests.cluster.local_ci import Project, cleaned
from tests.cluster.node import base, builder, house, places, product
from tests.cluster.roads import CRD, until
from tests.cluster.traffic import Traffic

pytestmark = pytest.mark.timeout(3600)

LOG = places.CACHE / "pipeline-run.log"  # docs/pipeline-run.log is a copy of one
RIGHTS = places.REPOSITORY / "ci" / "rights.yaml"
JOBS = (
    *("build", "deploy", "evaluate", "mirror"),
    *("canary-1", "canary-10", "canary-50", "promote", "retention"),
)
STABLE, CANDIDATE = "v42", "v43"
TAG = {"CI_COMMIT_TAG": CANDIDATE, "CI_PIPELINE_URL": "https://gitlab.example/pipelines/17"}
SCHEDULE = {"CI_COMMIT_BRANCH": "main", "CI_PIPELINE_SOURCE": "schedule"}
BRANCH = {"CI_COMMIT_BRANCH": "main"}
RED = "Nobody could go back there"
SOON = "60s"  # that a version is waited for which will not wake
# As short as one user in a hundred can be waited for.
STEP = {"duration": "20s", "deadline": "15m"}
POLICY: Object = {
    "evaluate": {"deadline": "20m"},
    "mirror": {"percent": 20, **STEP},
    "canary": [{"weight": weight, **STEP} for weight in (1, 10, 50)],
    # Two cores for everything: latencies are noise, and three answers are enough. Whom gates stop
    # test_candidates.py shows.
    "gates": {"minRequests": 3, "slower": 1000, "lengthDrift": 1, "finishDrift": 1},
    "interval": "2s",
}
RULES = "ci/00-rules.yml"
BUILT = f"{builder.REGISTRY}/pipeline/glm-serve"  # apart from those that other tests keep


def model(name: str) -> charts.Values:
    """Of a version; users say glm-nano, whichever model serves them."""
    digest = manifest.digest(charts.WEIGHTS / name)
    return {
        "model": {"name": name, "digest": digest},
        "config": {"model": {"aliases": [traffic.MODEL]}},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("values")


@pytest.fixture(scope="module")
def laid(shared_namespace: Cluster, image: str, folder: Path) -> Cluster:
    """glm-nano behind the gateway, on a road that a controller walks."""
    cluster = shared_namespace
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRD}")
    prometheus = "http://prometheus.monitoring:9090"
    controller = {"enabled": True, "replicas": 1, "prometheus": prometheus}
    charts.platform(cluster, image, folder, controller=controller)
    first = model("glm-nano")
    charts.version_release(cluster, STABLE, folder).install(charts.nano(STABLE, image, **first))
    known = {
        "name": STABLE,
        "modelDigest": first["model"]["digest"],
        "imageDigest": image.rpartition("@")[2],
    }
    road = charts.Release(cluster, "glm-road", charts.HELM / "glm-road", folder)
    road.apply({"stable": STABLE, "versions": [known], "policy": POLICY})
    until(lambda: status(cluster).get("stable") == STABLE, "the stable version")
    return cluster


@pytest.fixture(scope="module")
def url(laid: Cluster) -> Iterator[str]:
    with charts.front_door(laid) as address:
        yield address


@pytest.fixture(scope="module")
def project(
    laid: Cluster, url: str, folder: Path, request: pytest.FixtureRequest
) -> Iterator[Project]:
    """With the variables that somebody sets in GitLab, and no more rights than the pipeline's."""
    laid.kubectl("apply", "--server-side", f"--filename={RIGHTS}")
    variables = {"KUBECONFIG": str(kubeconfig(laid, folder)), "GATEWAY_URL": url}
    if is_ours(laid):
        arguments = {"BASE": base.image(), "BUILD_PACKAGES": product.BUILD_PACKAGES}
        variables |= {
            "BUILDKIT_HOST": f"unix://{places.RUN}/buildkit/buildkitd.sock",
            "IMAGE_REPOSITORY": BUILT,
            "IMAGE_ARGUMENTS": json.dumps(arguments),
            "IMAGE_OUTPUT": "push=false,unpack=true,name-canonical=true,compression=zstd",
        }
    else:
        repository, _, digest = request.getfixturevalue("next_image").rpartition("@")
        variables |= {"IMAGE_REPOSITORY": repository, "IMAGE_DIGEST": digest}
    tree = folder / "project"
    tree.mkdir()
    yield Project(tree, variables)
    if is_ours(laid):
        forget_images()


def is_ours(cluster: Cluster) -> bool:
    """Whether images can be built where that cluster's kubelet finds them."""
    return cluster.kubeconfig.resolve() == places.KUBECONFIG.resolve()


def without_ends() -> str:
    """The rules, but no job has an `after_script`: before one gitlab-ci-local wipes its folder.

    So the reports would be gone that the next job needs. test_pipeline_fails.py runs with them.
    """
    rules = (places.REPOSITORY / RULES).read_text(encoding="utf-8")
    kept, ends, rest = rules.partition("  after_script:\n")
    return kept + rest.partition("\n")[2] if ends else rules


def forget_images() -> None:
    """What the pipeline has built; layers that others have stay."""
    ctr = ("ctr", "--namespace", "k8s.io", "images")
    for name in house.ask(*ctr, "list", "--quiet").split():
        if name.startswith(BUILT):
            house.ask(*ctr, "remove", name)


def kubeconfig(cluster: Cluster, folder: Path) -> Path:
    """The pipeline's: its account, its namespace."""
    own = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    token = cluster.kubectl("create", "token", "glm-pipeline", "--duration=2h").strip()
    context = {
        "cluster": own["clusters"][0]["name"],
        "user": "pipeline",
        "namespace": cluster.namespace,
    }
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": own["clusters"][:1],
        "users": [{"name": "pipeline", "user": {"token": token}}],
        "contexts": [{"name": "glm", "context": context}],
        "current-context": "glm",
    }
    path = folder / "pipeline-kubeconfig"
    path.write_text(yaml.safe_dump(made), encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture
def log(folder: Path) -> Iterator[Path]:
    """What jobs say; kept without what is this machine's alone."""
    path = folder / "run.log"
    try:
        yield path
    finally:
        LOG.write_text(cleaned(path.read_text(encoding="utf-8")), encoding="utf-8")


def status(cluster: Cluster) -> Object:
    found: Object = cluster.get("modelroad", "glm").get("status", {})
    return found


def roles(cluster: Cluster) -> dict[str, str]:
    return {each["name"]: each["role"] for each in status(cluster)["versions"]}


def ready(cluster: Cluster, version: str) -> int:
    head = cluster.get("deployment", f"glm-{version}-head")
    return int(head["status"].get("readyReplicas", 0))


def sleeps(cluster: Cluster, version: str) -> bool:
    """Whether no pods are wanted; the last ones may still end."""
    return bool(cluster.get("deployment", f"glm-{version}-head")["spec"]["replicas"] == 0)


def released() -> str:
    """What the reviewed file says: everything but version and image."""
    values = charts.nano("", "@", **model("glm-nano-b"))
    del values["version"], values["image"]
    return yaml.safe_dump(values)


def test_a_tag_reaches_everybody_comes_back_by_one_job_and_leaves_nothing(
    laid: Cluster, project: Project, url: str, log: Path
) -> None:
    project.tag(CANDIDATE, {"ci/release.yaml": released(), RULES: without_ends()})
    building = builder.running() if is_ours(laid) else nullcontext()

    with building, traffic.flowing(url, rate=4, streams=2, tokens=100, limit_s=2400) as users:
        jobs = JOBS if is_ours(laid) else JOBS[1:]
        assert project.run(jobs, log, **TAG) == 0, ending(log)
        assert roles(laid) == {STABLE: "warm", CANDIDATE: "stable"}

        sleep_and_wake(laid, project, log)
        verified(laid, project, log)

        assert project.run(["rollback"], log, **BRANCH) == 0, ending(log)
        assert roles(laid) == {STABLE: "stable", CANDIDATE: "retired"}

        assert project.run(["retention"], log, **SCHEDULE) == 0, ending(log)
        assert roles(laid) == {STABLE: "stable"}
        assert laid.helm("list", "--short", "--filter=glm-v").split() == [f"glm-{STABLE}"]

    with log.open("a", encoding="utf-8") as told:
        told.write(f"{len(users.answers)} requests, {len(users.faults())} failed\n")
    served(users)


def sleep_and_wake(cluster: Cluster, project: Project, log: Path) -> None:
    """The version before this one, while the policy keeps none warm, one, and none again."""
    for warm, role in ((0, "cold"), (1, "warm"), (0, "cold")):
        patch = json.dumps({"spec": {"policy": {"warm": warm}}})
        cluster.kubectl("patch", "modelroad", "glm", "--type=merge", f"--patch={patch}")
        until(lambda role=role: roles(cluster)[STABLE] == role, role)  # type: ignore[misc]
        assert project.run(["retention"], log, **SCHEDULE) == 0, ending(log)
        until(lambda pods=warm: ready(cluster, STABLE) == pods, f"{warm} pods")  # type: ignore[misc]


def verified(cluster: Cluster, project: Project, log: Path) -> None:
    """One that sleeps would come back; with its model gone it would not, and is named."""
    assert project.run(["verify"], log, **SCHEDULE) == 0, ending(log)
    assert f"{STABLE} has answered" in ending(log)
    assert sleeps(cluster, STABLE)

    with gone(cluster, STABLE):
        assert project.run(["verify"], log, **SCHEDULE, START_TIMEOUT=SOON) != 0
        assert re.search(rf'{RED}: {STABLE} did not wake; .*"lost" not found', ending(log))
        assert sleeps(cluster, STABLE)


@contextmanager
def gone(cluster: Cluster, version: str) -> Iterator[None]:
    """The volume that a version which sleeps has its model from is not there any more."""
    change(cluster, version, "model.source=volume,model.volume.claim=lost")
    try:
        yield
    finally:
        change(cluster, version, "model.source=box,model.volume.claim=")


def change(cluster: Cluster, version: str, values: str) -> None:
    kept = (charts.OURS, "--reset-then-reuse-values")
    cluster.helm("upgrade", f"glm-{version}", charts.HELM / "glm-model", *kept, f"--set={values}")


def served(users: Traffic) -> None:
    """Everybody, and by both."""
    assert users.faults() == []
    assert users.versions() == {STABLE, CANDIDATE}


def ending(log: Path) -> str:
    return cleaned(log.read_text(encoding="utf-8"))[-4000:]
