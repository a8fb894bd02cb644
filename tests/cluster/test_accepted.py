"""A real API server takes what the charts render, and a restricted namespace takes the pods."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.chart import helm
from tests.cluster.kube import Cluster, Object
from tests.cluster.roads import define, established

EXAMPLES = [(name, values) for name in helm.CHARTS for values in helm.examples(name)]
OPTIONAL = {"ray.io": "RayService", "keda.sh": "KEDA", "monitoring.coreos.com": "Prometheus"}


def given(variable: str) -> pytest.MarkDecorator:
    reason = f"{variable} names no folder with definitions"
    return pytest.mark.skipif(variable not in os.environ, reason=reason)


def group(each: Object) -> str:
    return str(each["apiVersion"]).rpartition("/")[0]


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> set[str]:
    """API groups of this cluster, that of roads among them."""
    define(cluster)
    names = cluster.kubectl("api-versions").split()
    return {name.rpartition("/")[0] for name in names}


@pytest.mark.parametrize(("name", "values"), EXAMPLES, ids=lambda each: getattr(each, "stem", each))
def test_the_api_server_takes_what_is_rendered(
    shared_namespace: Cluster, served: set[str], name: str, values: Path
) -> None:
    """Kinds of programs that are not in this cluster are left out.

    Accounts alone are really made: no bare pod, as of `helm test`, is taken without its own.
    """
    rendered = helm.objects(name, values, "--namespace", shared_namespace.namespace)
    known = [each for each in rendered if group(each) in {*served, ""}]

    unknown = {group(each) for each in rendered} - {*served, ""}

    assert unknown <= OPTIONAL.keys()
    for own in {each["spec"]["serviceAccountName"] for each in known if each["kind"] == "Pod"}:
        shared_namespace.apply(account(own))
    if known:
        text = yaml.safe_dump_all(known)
        shared_namespace.kubectl(
            "apply", "--server-side", "--dry-run=server", "--filename=-", given=text
        )


def account(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def test_a_restricted_namespace_takes_every_pod(shared_namespace: Cluster) -> None:
    """As pods, for a Deployment is taken whatever its pods are."""
    pods = [
        bare(pod, f"{name}-{values.stem}-{number}")
        for name, values in EXAMPLES
        for number, pod in enumerate(helm.pod_templates(helm.objects(name, values)))
    ]

    text = yaml.safe_dump_all(pods)

    shared_namespace.kubectl("apply", "--dry-run=server", "--filename=-", given=text)


def bare(template: Object, name: str) -> Object:
    """Without what only names objects that are not here."""
    left_out = {"serviceAccountName", "priorityClassName", "runtimeClassName"}
    spec = {key: value for key, value in template["spec"].items() if key not in left_out}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(
    ("variable", "kind", "example"),
    [
        pytest.param(variable, kind, example, marks=given(variable))
        for variable, kind, example in (
            ("KUBERAY_CRDS", "RayService", "gpu-rayservice"),
            ("KEDA_CRDS", "ScaledObject", "keda"),
        )
    ],
)
def test_definitions_of_others_take_what_is_rendered_for_them(
    shared_namespace: Cluster, variable: str, kind: str, example: str
) -> None:
    """Each variable names the folder config/crd/bases of a project: KubeRay 1.7, KEDA 2.20."""
    values = helm.chart("glm-model") / "ci" / f"{example}-values.yaml"
    (rendered,) = helm.of_kind(kind, helm.objects("glm-model", values))
    del rendered["metadata"]["namespace"]

    with defined(shared_namespace, Path(os.environ[variable]), rendered):
        shared_namespace.kubectl(
            *("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"),
            given=yaml.safe_dump(rendered),
        )


@contextmanager
def defined(cluster: Cluster, folder: Path, one: Object) -> Iterator[None]:
    """While the cluster knows its kind. One that was not there goes again: charts look for it."""
    plural = f"{one['kind'].lower()}s"
    name = f"{plural}.{group(one)}"
    if cluster.kubectl("get", "crd", name, "--ignore-not-found", "--output=name"):
        yield
        return
    cluster.kubectl(
        "apply", "--server-side", f"--filename={folder / f'{group(one)}_{plural}.yaml'}"
    )
    try:
        established(cluster, name)
        yield
    finally:
        cluster.kubectl("delete", "crd", name)
