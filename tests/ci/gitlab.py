"""`.gitlab-ci.yml` as GitLab reads it: includes, `extends`, `!reference`, and the rules we use."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MAIN = ROOT / ".gitlab-ci.yml"

Job = dict[str, Any]

_NO_JOBS = {"stages", "include", "workflow", "variables", "default"}
_OPERATION = re.compile(r"^\$(?P<name>\w+)(?: (?P<operator>==|=~) (?P<other>.+))?$")


class Reference(tuple[str, ...]):
    """`!reference [job, key]`."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    pass


def _reference(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> Reference:
    return Reference(loader.construct_sequence(node))


_Loader.add_constructor("!reference", _reference)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506
    return found


def included() -> list[Path]:
    return [ROOT / each["local"] for each in read(MAIN)["include"]]


def whole() -> dict[str, Any]:
    """Everything in one, hidden jobs too."""
    parts = [read(MAIN), *(read(path) for path in included())]
    return {name: value for part in parts for name, value in part.items()}


def jobs() -> dict[str, Job]:
    """By name, with what they inherit."""
    everything = whole()
    named = (name for name in everything if name not in _NO_JOBS and not name.startswith("."))
    return {name: _resolved(everything, name) for name in named}


def _resolved(everything: Mapping[str, Any], name: str) -> Job:
    job = dict(everything[name])
    parent = job.pop("extends", None)
    inherited = _resolved(everything, parent) if parent else everything["default"]
    both = _merged(inherited, job)
    return both | {"rules": list(_rules(everything, both.get("rules", [])))}


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> Job:
    """Maps are merged, lists replaced."""
    both = {**one, **other}
    nested = {k for k in one.keys() & other.keys() if isinstance(one[k], dict)}
    return both | {key: _merged(one[key], other[key]) for key in nested}


def _rules(everything: Mapping[str, Any], given: list[Any]) -> Iterator[Any]:
    for rule in given:
        if isinstance(rule, Reference):
            yield from _rules(everything, _resolved(everything, rule[0])[rule[1]])
        else:
            yield rule


def rule_of(job: Job, variables: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The first rule that holds, as if all files had changed; None if the job is left out."""
    for rule in job["rules"]:
        if "if" not in rule or _holds(rule["if"], variables):
            return None if rule.get("when") == "never" else rule
    return None


def _holds(condition: str, variables: Mapping[str, str]) -> bool:
    found = _OPERATION.match(condition)
    assert found, f"a rule of a form that the tests do not know: {condition}"
    value, other = variables.get(found["name"]), found["other"]
    if found["operator"] == "=~":
        return value is not None and re.search(other.strip("/"), value) is not None
    if found["operator"] == "==":
        return value == (variables.get(other[1:]) if other.startswith("$") else other.strip('"'))
    return bool(value)
