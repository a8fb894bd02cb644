"""What docs/operations.md tells to set for a GPU is what the examples have, and is taken."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve_app import configuration
from tests.chart import helm

TEXT = (helm.ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("\n## On a GPU\n")[2].partition("\n## ")[0]
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ON_KUBERNETES, ON_BARE_METAL = map(yaml.safe_load, BLOCK.findall(SECTION))
EXAMPLES = sorted((helm.chart("glm-model") / "ci").glob("gpu-*-values.yaml"))


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda values: values.stem)
def test_the_examples_have_the_settings_of_the_page(values: Path) -> None:
    given = yaml.safe_load(values.read_text(encoding="utf-8"))

    assert given["replicas"]["gpus"] >= ON_KUBERNETES["replicas"]["gpus"]
    assert given["autoscaling"].items() >= ON_KUBERNETES["autoscaling"].items()
    for section, fields in ON_KUBERNETES["config"].items():
        assert given["config"][section].items() >= fields.items()


def test_bare_metal_is_told_the_same_and_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(ON_BARE_METAL), encoding="utf-8")
    told: dict[str, Any] = ON_KUBERNETES["config"]

    settings = configuration.load(file, {}).settings

    assert settings.replicas.model_gpus == ON_KUBERNETES["replicas"]["gpus"]
    assert ON_BARE_METAL["engine"] == told["engine"]
    assert ON_BARE_METAL["server"] == told["server"]
    assert settings.model.device == told["model"]["device"]
