"""The road's own object, and the route by hand where there is no controller."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart import helm
from tests.chart.helm import Object, objects, of_kind

CI = helm.chart("glm-road") / "ci"


def road(values: Path, *arguments: str) -> Object:
    (found,) = objects("glm-road", values, *arguments)
    return found


def test_the_controller_gets_a_road_and_no_route_beside_its_own() -> None:
    among = objects("glm-road", CI / "road-values.yaml")

    assert of_kind("HTTPRoute", among) == []
    assert [each["kind"] for each in among] == ["ModelRoad"]


def test_helm_never_renders_what_people_alone_decide() -> None:
    """A `helm upgrade` would lift a hold that somebody set in the night."""
    spec = road(CI / "road-values.yaml")["spec"]

    assert not {"hold", "leave", "rollbackTo", "liftHold"} & spec.keys()


def test_the_road_says_what_its_definition_knows() -> None:
    """An unknown field would be dropped by the API server in silence."""
    text = (helm.chart("glm-platform") / "files" / "modelroad-crd.yaml").read_text()
    (version,) = yaml.safe_load(text)["spec"]["versions"]
    known = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]

    spec = road(CI / "road-values.yaml")["spec"]

    assert spec.keys() <= known.keys()
    assert spec["versions"][0].keys() <= known["versions"]["items"]["properties"].keys()


def test_a_first_version_needs_no_list() -> None:
    assert road(CI / "first-values.yaml")["spec"]["versions"] == [{"name": "v1"}]


def test_by_hand_every_version_can_be_asked_for_by_name_over_shared_connections() -> None:
    users, *pins = road(CI / "weights-values.yaml")["spec"]["rules"]

    assert [rule["matches"][0]["headers"][0]["value"] for rule in pins] == ["v41", "v42"]
    assert [(each["name"], each["weight"]) for each in users["backendRefs"]] == [
        ("glm-v41", 99),
        ("glm-v42", 1),
    ]
    for rule in (*pins, users):
        assert rule["timeouts"] == {"request": "0s"}
        assert all(backend.keys() == {"name", "port", "weight"} for backend in rule["backendRefs"])


def test_a_version_of_no_weight_stays_reachable_by_its_name() -> None:
    arguments = ("--set", "weights.v41=0,weights.v42=100")

    rules = road(CI / "weights-values.yaml", *arguments)["spec"]["rules"]

    assert [each["weight"] for each in rules[0]["backendRefs"]] == [0, 100]
    assert len(rules) == 3


def installed_beside(folder: Path, other: Object, *arguments: str) -> str:
    """What helm says to a new road in a namespace that has that one; nothing if it takes it."""
    copy = shutil.copytree(helm.chart("glm-road"), folder / "glm-road")
    found = {"items": [{"metadata": {"name": "glm"}, "spec": other}]}
    (copy / "live.yaml").write_text(yaml.safe_dump(found), encoding="utf-8")
    names = copy / "templates" / "_names.tpl"
    looked = re.sub(r"lookup .* \"\"", '.Files.Get "live.yaml" | fromYaml', names.read_text())
    names.write_text(looked, encoding="utf-8")
    given = (f"--set={each}" for each in ("stable=v1", *arguments))
    return helm.run("template", "second", str(copy), "--namespace=glm", *given).stderr


PARENTS = {"parentRefs": [{"name": "glm"}]}
HOSTS = {"hostnames": ["a.example", "b.example"]}
SECTION = {"parentRefs": [{"name": "glm", "namespace": "glm", "sectionName": "http"}]}


@pytest.mark.parametrize(
    ("other", "arguments"),
    [
        (PARENTS, ("name=second",)),
        (PARENTS, ("name=second", "hostnames=null")),
        (PARENTS | HOSTS, ("name=second", "hostnames={b.example,c.example}")),
        (SECTION, ("name=second",)),
        (PARENTS, ("name=second", "gateway.sectionName=http")),
    ],
)
def test_a_second_road_that_a_gateway_would_not_obey_is_refused(
    tmp_path: Path, other: Object, arguments: tuple[str, ...]
) -> None:
    told = installed_beside(tmp_path, other, *arguments)
    assert "The road glm leads from the gateway glm already, for the same host names" in told


@pytest.mark.parametrize(
    ("other", "arguments"),
    [
        (PARENTS, ("name=glm",)),  # itself
        (PARENTS, ("name=second", "gateway.name=other")),
        (PARENTS, ("name=second", "gateway.namespace=gateways")),
        (PARENTS, ("name=second", "hostnames={c.example}")),  # a named host goes first
        (PARENTS | HOSTS, ("name=second",)),  # what those hosts leave
        (PARENTS | HOSTS, ("name=second", "hostnames=null")),
        (PARENTS | HOSTS, ("name=second", "hostnames={c.example}")),
        (SECTION, ("name=second", "gateway.sectionName=https")),
    ],
)
def test_a_second_road_of_its_own_users_is_taken(
    tmp_path: Path, other: Object, arguments: tuple[str, ...]
) -> None:
    assert installed_beside(tmp_path, other, *arguments) == ""


def upgraded(folder: Path, users: str, *arguments: str) -> str:
    """What helm says to an upgrade of a road whose users are on that version; nothing if it does.

    There is no cluster to look into: the chart's copy finds a file.
    """
    copy = shutil.copytree(helm.chart("glm-road"), folder / "glm-road")
    (copy / "live.yaml").write_text(yaml.safe_dump({"status": {"stable": users}}), encoding="utf-8")
    road = copy / "templates" / "modelroad.yaml"
    looked = re.sub(r"lookup .*(?= }})", '.Files.Get "live.yaml" | fromYaml', road.read_text())
    road.write_text(looked, encoding="utf-8")
    return helm.run("template", "glm-road", str(copy), "--is-upgrade", *arguments).stderr


@pytest.mark.parametrize("arguments", [("stable=v2",), ("stable=v1", "candidate=v2")])
def test_an_upgrade_that_knows_where_users_are_goes_through(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    given = (f"--set={each}" for each in arguments)
    assert upgraded(tmp_path, "v2", *given) == ""


def test_an_upgrade_with_a_stable_version_of_yesterday_moves_nobody(tmp_path: Path) -> None:
    """A policy was to be changed, and everybody went back to the version of the first install."""
    told = upgraded(tmp_path, "v2", "--set=stable=v1")
    assert "users are on v2, and stable is v1: --set stable=v2 leaves them there" in told
