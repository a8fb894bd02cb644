"""Values that would go wrong later are refused at once, with a sentence that names what to mend."""

import re
from pathlib import Path

import pytest

from tests.chart import helm

# What a refused file is laid over: values that are taken.
BASES = {"glm-model": "nano", "glm-platform": "default", "glm-road": "road"}
# How a chart knows its own names, and what it says then.
_OWN = re.compile(r"if regexMatch (.+) \$name }}\n(.+is the chart's own.+)")
# How glm-model reads a setting of `config`.
_READ = re.compile(r"\$(server)\.(\w+) \||dig \"(\w+)\" \"(\w+)\" \"\w+\" \.Values\.config")
REFUSED = sorted(Path(__file__).parent.glob("refused/*/*.yaml"))


@pytest.mark.parametrize("values", REFUSED, ids=lambda path: f"{path.parent.name}: {path.stem}")
def test_a_bad_value_is_refused_with_its_sentence(values: Path) -> None:
    name = values.parent.name
    base = helm.chart(name) / "ci" / f"{BASES[name]}-values.yaml"
    sentence = values.read_text(encoding="utf-8").splitlines()[0].removeprefix("# says: ")

    done = helm.template(name, base, "--values", str(values))

    assert done.returncode != 0
    assert sentence in done.stderr


@pytest.mark.parametrize("name", helm.CHARTS)
def test_every_chart_refuses_something(name: str) -> None:
    assert any(values.parent.name == name for values in REFUSED)


def test_what_the_chart_reads_of_the_settings_no_variable_may_change() -> None:
    read = {
        "__".join(filter(None, found)).upper() for found in _READ.findall(_templates("glm-model"))
    }
    base = helm.chart("glm-model") / "ci" / "nano-values.yaml"

    assert {"SERVER__READY_DEADLINE_S", "SERVER__MAX_STREAM_S", "MODEL__DEVICE"} <= read
    for name in read:
        variable = f'extraEnv=[{{"name": "GLM_{name}", "value": "1"}}]'
        done = helm.template("glm-model", base, "--set-json", variable)
        assert f"GLM_{name} would be unknown to the chart" in done.stderr


def test_all_charts_keep_the_same_names_for_themselves() -> None:
    """A chart cannot read a template of another, so each has its own copy."""
    kept = [_OWN.findall(_templates(name)) for name in helm.CHARTS]

    assert [len(each) for each in kept] == [1, 1, 1]
    assert kept[0] == kept[1] == kept[2]


def _templates(name: str) -> str:
    files = sorted((helm.chart(name) / "templates").glob("_*.tpl"))
    return "".join(each.read_text(encoding="utf-8") for each in files)
