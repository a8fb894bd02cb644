"""`python -m tests.chart.generate`: what follows from charts and settings, written down anew.

The schemas of `config` in glm-model's values and of `policy` in glm-road's, a page of values for
each chart, and what each renders for each of its examples. Tests hold all of them to be current.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from serve_app.settings import Settings
from tests.chart import helm, pages

GOLDEN = Path(__file__).with_name("golden")
SCHEMA = helm.chart("glm-model") / "values.schema.json"
ROAD_SCHEMA = helm.chart("glm-road") / "values.schema.json"
CRD = helm.chart("glm-platform") / "files" / "modelroad-crd.yaml"
PAGES = helm.ROOT / "docs" / "charts"

# What tells a reader something and a validator nothing; without it the schema changes seldom.
_WORDS = {"title", "description", "default"}
_RULES = "x-kubernetes-"  # what the API server alone understands


def files() -> Iterator[tuple[Path, str]]:
    """Every generated file with what belongs into it."""
    yield SCHEMA, _with_settings(json.loads(SCHEMA.read_text(encoding="utf-8")))
    yield ROAD_SCHEMA, _with_policy(json.loads(ROAD_SCHEMA.read_text(encoding="utf-8")))
    for name in helm.CHARTS:
        yield PAGES / f"{name}.md", pages.page(helm.chart(name))
        for values in helm.examples(name):
            yield golden(name, values), _render(name, values)


def golden(name: str, values: Path) -> Path:
    return GOLDEN / name / f"{values.name.removesuffix('-values.yaml')}.yaml"


def _render(name: str, values: Path) -> str:
    """Without definitions of kinds: those are long, and written by hand once."""
    done = helm.template(name, values)
    if done.returncode:
        raise SystemExit(done.stderr)
    documents = done.stdout.split("\n---\n")
    return "\n---\n".join(each for each in documents if "\nkind: CustomResource" not in each)


def _with_settings(schema: dict[str, Any]) -> str:
    settings = _bare(Settings.model_json_schema())
    sections = settings.pop("$defs")
    kept = {name: part for name, part in schema["$defs"].items() if not name.endswith("Settings")}
    schema["$defs"] = kept | sections | {"Settings": settings}
    return json.dumps(schema, indent=2) + "\n"


def _with_policy(schema: dict[str, Any]) -> str:
    """A misspelt gate is refused here; the API server would drop it without a word."""
    (version,) = yaml.safe_load(CRD.read_text(encoding="utf-8"))["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    policy = _closed(_bare(spec["properties"]["policy"]))
    canary = policy["properties"]["canary"]["items"]["properties"]
    del canary["gates"]["properties"]["similarity"]  # a rule of the definition refuses it there
    schema["properties"]["policy"] = policy
    return json.dumps(schema, indent=2) + "\n"


def _closed(part: dict[str, Any]) -> dict[str, Any]:
    kept = {name: each for name, each in part.items() if not name.startswith(_RULES)}
    if "items" in kept:
        kept["items"] = _closed(kept["items"])
    if "properties" in kept:
        kept["properties"] = {name: _closed(each) for name, each in kept["properties"].items()}
        kept["additionalProperties"] = False
    return kept


def _bare(part: Any) -> Any:
    """Without words; names of fields, which stand below `properties`, all stay."""
    if isinstance(part, list):
        return [_bare(each) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: {field: _bare(each) for field, each in value.items()}
        if name in {"properties", "$defs"}
        else _bare(value)
        for name, value in part.items()
        if name not in _WORDS
    }


def main() -> None:
    for path, text in files():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(helm.ROOT)}\n")


if __name__ == "__main__":
    main()
