"""A chart that finds things in the cluster, where there is no cluster to look into."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.chart import helm
from tests.chart.helm import Object

# Of a Deployment what follows the version in its name, of all else the kind.
_LOOKUP = re.compile(
    r'lookup "[^"]+" "(?P<kind>\w+)" \.Release\.Namespace'
    r' (?:\(printf "%s-(?P<part>\w+)" \(.+?\)\)|\(.+?\)|"")'
)


def finding(found: Mapping[str, Object], folder: Path) -> Path:
    """A copy of glm-model below the folder, which finds a head, worker, RayService or Service."""
    copy = folder / "glm-model"
    shutil.copytree(helm.chart("glm-model"), copy)
    for name, each in found.items():
        (copy / f"{name}.yaml").write_text(yaml.safe_dump(each), encoding="utf-8")
    for template in copy.glob("templates/_*.tpl"):
        text = _LOOKUP.sub(_file, template.read_text(encoding="utf-8"))
        assert "lookup" not in text
        template.write_text(text, encoding="utf-8")
    return copy


def _file(lookup: re.Match[str]) -> str:
    return f'(.Files.Get "{lookup["part"] or lookup["kind"]}.yaml" | fromYaml)'
