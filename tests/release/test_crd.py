"""The schema in the chart and the dataclasses say the same."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import jsonschema
import pytest
import yaml
from pydantic.alias_generators import to_camel

from k8s.phases import TRANSITIONS
from k8s.road import (
    API_VERSION,
    GROUP,
    KIND,
    PLURAL,
    CanaryStep,
    Mirror,
    Outcome,
    Phase,
    Policy,
    Role,
    Spec,
    Status,
    parse,
)
from k8s.road.resource import render_spec, render_status
from k8s.road.wire import seconds_of
from tests.release.roads import Walk

CRD = yaml.safe_load(
    (Path(__file__).parents[2] / "helm/glm-platform/files/modelroad-crd.yaml").read_text()
)
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPEC, STATUS = (SCHEMA["properties"][part] for part in ("spec", "status"))


def test_it_is_the_resource_that_the_code_asks_for() -> None:
    assert CRD["spec"]["group"] == GROUP
    assert CRD["spec"]["names"]["kind"] == KIND
    assert CRD["spec"]["names"]["plural"] == PLURAL
    assert CRD["spec"]["versions"][0]["name"] == API_VERSION
    assert CRD["metadata"]["name"] == f"{PLURAL}.{GROUP}"


def test_it_survives_the_removal_of_its_chart() -> None:
    assert CRD["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize(("kind", "schema"), [(Spec, SPEC), (Status, STATUS)])
def test_every_field_of_the_code_is_in_the_schema_and_no_other(
    kind: type, schema: dict[str, Any]
) -> None:
    assert differences(kind, schema) == []


def differences(kind: type, schema: dict[str, Any], place: str = "") -> list[str]:
    ours = {to_camel(each.name) for each in fields(kind)}
    theirs = set(schema["properties"])
    found = [f"{place}{name}" for name in ours ^ theirs]
    hints = get_type_hints(kind)
    for each in fields(kind):
        inner, nested = (
            dataclass_in(hints[each.name]),
            schema["properties"].get(to_camel(each.name)),
        )
        if inner and nested:
            found += differences(inner, nested.get("items", nested), f"{place}{each.name}.")
    return found


def dataclass_in(hint: Any) -> type | None:
    """The dataclass that a field holds, be it one, many or none."""
    if get_origin(hint) in {tuple, Union, UnionType}:
        return next((found for each in get_args(hint) if (found := dataclass_in(each))), None)
    return hint if is_dataclass(hint) and isinstance(hint, type) else None


def test_phases_roles_and_outcomes_are_those_of_the_code() -> None:
    properties = STATUS["properties"]
    assert properties["phase"]["enum"] == list(Phase)
    assert set(properties["versions"]["items"]["properties"]["role"]["enum"]) == set(Role)
    assert set(properties["verdicts"]["items"]["properties"]["outcome"]["enum"]) == set(Outcome)


def test_the_api_server_lets_exactly_the_transitions_of_the_table_through() -> None:
    (rule,) = STATUS["properties"]["phase"]["x-kubernetes-validations"]
    rows = re.findall(r"'(\w+)': \[([^\]]*)\]", rule["rule"])
    allowed = {phase: set(re.findall(r"\w+", targets)) for phase, targets in rows}
    table = {
        str(phase): {str(to) for to in moves.values() if to is not phase}
        for phase, moves in TRANSITIONS.items()
    }
    assert allowed == table


@pytest.mark.parametrize("step", ["evaluate", "mirror", "canary-1", "canary-50"])
def test_what_the_code_writes_is_valid(step: str) -> None:
    walk = Walk().to(step)
    written = {"spec": render_spec(walk.road.spec), "status": render_status(walk.status)}
    jsonschema.validate(written, SCHEMA)


def test_defaults_of_the_schema_are_those_of_the_code() -> None:
    spec = {"versions": [{"name": "v1"}], "stable": "v1"}
    resource = {"metadata": {"name": "glm", "namespace": "models"}, "spec": spec}
    read = parse(resource).spec
    for name in ("attempt", "advanceTo"):
        field = next(each.name for each in fields(Spec) if to_camel(each.name) == name)
        assert SPEC["properties"][name]["default"] == getattr(read, field)


@pytest.mark.parametrize(
    ("place", "step"),
    [
        (("mirror",), Policy().mirror),
        (("canary", "items"), Policy().canary[0]),
    ],
)
def test_rules_on_deadlines_know_what_holds_where_nothing_is_said(
    place: tuple[str, ...], step: Mirror | CanaryStep
) -> None:
    schema = SPEC["properties"]["policy"]["properties"]
    for name in place:
        schema = schema[name]
    rule = schema["x-kubernetes-validations"][0]
    said = [seconds_of(each) for each in re.findall(r": '(\w+)'", rule["rule"])]
    assert said == [step.deadline, step.duration]
