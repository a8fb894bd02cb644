"""Names may be made of digits, or be words that YAML has for something else: they stay texts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm

ODD = sorted(Path(__file__).parent.glob("odd/*/*.yaml"))
NUMBER = 7071  # what most of these files call everything


class OncePerKey(yaml.SafeLoader):
    """As the API server, and unlike PyYAML: no key may be there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key twice: {sorted(keys)}"
        return super().construct_mapping(node, deep)


def leaves(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield f"{path} key", key
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(part, list):
        for value in part:
            yield from leaves(value, f"{path}[]")
    else:
        yield path, part


@pytest.mark.parametrize("values", ODD, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_names_stay_texts(values: Path) -> None:
    done = helm.template(values.parent.name, values, release=str(NUMBER))
    assert done.returncode == 0, done.stderr

    rendered = yaml.load_all(done.stdout, OncePerKey)
    found = [leaf for each in rendered if each for leaf in leaves(each)]

    assert any(value == str(NUMBER) for _, value in found)
    assert [path for path, value in found if value in (None, NUMBER)] == []


@pytest.mark.parametrize("name", helm.CHARTS)
def test_every_chart_is_given_odd_names(name: str) -> None:
    assert any(values.parent.name == name for values in ODD)
