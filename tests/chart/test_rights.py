"""Service accounts may do what they need and nothing else; tests/cluster asks a real API server."""

import pytest

from tests.chart import helm
from tests.chart.helm import Object, objects, of_kind, the

DEFAULT = helm.chart("glm-platform") / "ci" / "default-values.yaml"
# With these somebody becomes somebody else, or sees what is none of theirs.
POWERS = {"*", "escalate", "bind", "impersonate", "delete", "deletecollection"}
TREASURES = {"*", "secrets", "pods/exec", "serviceaccounts/token", "roles", "rolebindings"}


@pytest.fixture(scope="module")
def platform() -> list[Object]:
    """With everybody who has an account."""
    return objects("glm-platform", DEFAULT, "--set=scorer.enabled=true")


def test_nothing_holds_for_the_whole_cluster(platform: list[Object]) -> None:
    everything = [
        *platform,
        *(
            each
            for name in helm.CHARTS
            for values in helm.examples(name)
            for each in objects(name, values)
        ),
    ]

    assert of_kind("ClusterRole", everything) == []
    assert of_kind("ClusterRoleBinding", everything) == []


def test_no_role_has_powers_over_others(platform: list[Object]) -> None:
    for role in of_kind("Role", platform):
        for rule in role["rules"]:
            assert not POWERS & {*rule["verbs"]}
            assert not TREASURES & {*rule["resources"]}


def test_the_ledger_is_only_ever_added_to(platform: list[Object]) -> None:
    rules = the("Role", "glm-controller", platform)["rules"]

    (ledger,) = (rule for rule in rules if "configmaps" in rule["resources"])

    assert ledger["verbs"] == ["get", "list", "create"]


def test_each_role_is_bound_to_its_own_account_alone(platform: list[Object]) -> None:
    bound = {
        each["roleRef"]["name"]: [subject["name"] for subject in each["subjects"]]
        for each in of_kind("RoleBinding", platform)
    }

    assert bound == {name: [name] for name in ("glm-controller", "glm-scorer")}


def test_models_have_no_right_at_all() -> None:
    for values in helm.examples("glm-model"):
        among = objects("glm-model", values)
        assert of_kind("Role", among) == []
        for account in of_kind("ServiceAccount", among):
            assert account["automountServiceAccountToken"] is False
