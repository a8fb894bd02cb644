"""The road's own object, and the route by hand where there is no controller."""

from pathlib import Path

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
