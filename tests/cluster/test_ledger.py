"""The ledger is only ever added to, and by its controller alone: a real API server sees to it."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.kube import Cluster, Object, Refused
from tests.cluster.node import places
from tests.cluster.roads import until

CI = places.REPOSITORY / "ci"
LABEL = "glm-serve.io/ledger"
CONTROLLER, PIPELINE = "glm-controller", "glm-pipeline"
FORGED = "only the controller adds records"


@pytest.fixture(scope="module")
def guarded(shared_namespace: Cluster) -> Iterator[Cluster]:
    """As an administrator leaves it, with the pipeline's rights and a controller's."""
    cluster = shared_namespace
    cluster.kubectl("apply", "--server-side", f"--filename={CI / 'ledger.yaml'}")
    cluster.kubectl("apply", "--server-side", f"--filename={CI / 'rights.yaml'}")
    cluster.kubectl("create", "serviceaccount", CONTROLLER)
    cluster.kubectl("create", "role", CONTROLLER, "--verb=get,create", "--resource=configmaps")
    account = f"--serviceaccount={cluster.namespace}:{CONTROLLER}"
    cluster.kubectl("create", "rolebinding", CONTROLLER, f"--role={CONTROLLER}", account)
    cluster.kubectl("label", "namespace", cluster.namespace, f"{LABEL}=guarded")
    until(lambda: FORGED in _told(cluster, PIPELINE), "the policy is in force")
    until(lambda: not _told(cluster, CONTROLLER), "the controller's right")
    yield cluster
    cluster.kubectl("delete", "namespace", cluster.namespace)  # waits: its records go with it
    cluster.kubectl("delete", f"--filename={CI / 'ledger.yaml'}")


def _told(cluster: Cluster, account: str) -> str:
    """What it is told that tries to write a record, nothing if it can; none is kept."""
    try:
        written(cluster, account, "tried", "--dry-run=server")
    except Refused as refusal:
        return str(refusal)
    return ""


def written(cluster: Cluster, account: str, name: str, *more: str) -> None:
    """A record, by that account of the namespace."""
    metadata = {"name": name, "namespace": cluster.namespace, "labels": {LABEL: "glm"}}
    body: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    record = body | {"data": {"record": "{}"}, "immutable": True}
    cluster.kubectl(
        "create", "--filename=-", _as(cluster, account), *more, given=json.dumps(record)
    )


def _as(cluster: Cluster, account: str) -> str:
    return f"--as=system:serviceaccount:{cluster.namespace}:{account}"


@pytest.fixture(scope="module")
def record(guarded: Cluster) -> str:
    written(guarded, CONTROLLER, "glm-ledger-000001")
    return "glm-ledger-000001"


def test_a_pipeline_cannot_forge_a_record(guarded: Cluster) -> None:
    with pytest.raises(Refused, match=FORGED):
        written(guarded, PIPELINE, "glm-ledger-000002")


def test_nor_does_it_take_the_name_of_the_next_one(guarded: Cluster) -> None:
    with pytest.raises(Refused, match=FORGED):
        guarded.kubectl("create", "configmap", "glm-ledger-000002", _as(guarded, PIPELINE))


def test_not_even_an_administrator_takes_a_record_away(guarded: Cluster, record: str) -> None:
    with pytest.raises(Refused, match="goes only with its namespace"):
        guarded.kubectl("delete", "configmap", record)


@pytest.mark.parametrize(
    "patch", [{"data": {"record": "other"}}, {"metadata": {"labels": {LABEL: None}}}]
)
def test_nobody_changes_a_record_or_hides_it(guarded: Cluster, record: str, patch: Object) -> None:
    with pytest.raises(Refused, match=r"never changed|immutable"):
        guarded.kubectl(
            "patch", "configmap", record, "--type=merge", f"--patch={json.dumps(patch)}"
        )


def test_other_config_maps_are_as_free_as_before(guarded: Cluster) -> None:
    guarded.kubectl("create", "configmap", "glm-eval-v2", _as(guarded, PIPELINE))
    guarded.kubectl("delete", "configmap", "glm-eval-v2")
