"""A chart that finds a Deployment in the cluster, where there is no cluster to look into."""

import re
import shutil
from pathlib import Path

import yaml

from tests.chart import helm
from tests.chart.helm import Object

FOUND = "live.yaml"
_LOOKUP = re.compile(r'lookup "apps/v1" "Deployment" \.Release\.Namespace \(.*\) (?=}})')


def finding(deployment: Object, folder: Path) -> Path:
    """A copy of glm-model below the folder, to which every Deployment it looks up is this one."""
    copy = folder / "glm-model"
    shutil.copytree(helm.chart("glm-model"), copy)
    (copy / FOUND).write_text(yaml.safe_dump(deployment), encoding="utf-8")
    scaling = copy / "templates" / "_scaling.tpl"
    text, looked = _LOOKUP.subn(f'.Files.Get "{FOUND}" | fromYaml ', scaling.read_text("utf-8"))
    assert looked == 1
    scaling.write_text(text, encoding="utf-8")
    return copy
