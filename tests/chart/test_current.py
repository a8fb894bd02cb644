"""Charts are well-formed, and what is generated from them is what lies in the repository."""

import re
from pathlib import Path

import pytest

from tests.chart import generate, helm
from tests.chart.helm import Object

EXAMPLES = [(name, values) for name in helm.CHARTS for values in helm.examples(name)]


def named(path: object) -> str:
    return str(path.relative_to(helm.ROOT)) if isinstance(path, Path) else ""


def test_what_is_generated_is_current() -> None:
    stale = [path for path, text in generate.files() if path.read_text(encoding="utf-8") != text]

    assert stale == [], "run: python -m tests.chart.generate"


def test_no_golden_render_is_left_of_an_example_that_is_gone() -> None:
    wanted = {generate.golden(name, values) for name, values in EXAMPLES}

    assert {*generate.GOLDEN.glob("*/*.yaml")} == wanted


@pytest.mark.parametrize(("name", "values"), EXAMPLES, ids=named)
def test_charts_pass_the_strict_lint(name: str, values: Path) -> None:
    done = helm.run("lint", "--strict", str(helm.chart(name)), "--values", str(values))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("name", "values"), EXAMPLES, ids=named)
def test_every_object_says_what_it_belongs_to(name: str, values: Path) -> None:
    for each in helm.objects(name, values):
        if each["kind"] == "CustomResourceDefinition":
            continue  # lives on without the release
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == name
        assert labels["app.kubernetes.io/part-of"] == "glm-platform"


@pytest.mark.parametrize("name", helm.CHARTS)
def test_every_value_or_its_section_has_words_on_its_page(name: str) -> None:
    page = (generate.PAGES / f"{name}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| .* \| (.*) \|$", page, re.MULTILINE)
    told = {path for path, text in rows if text}

    assert rows
    assert [path for path, _ in rows if not {*lineage(path)} & told] == []


def lineage(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def digests(part: object) -> list[str]:
    """Every image that is named anywhere."""
    if isinstance(part, list):
        return [image for each in part for image in digests(each)]
    if not isinstance(part, dict):
        return []
    below = [image for each in part.values() for image in digests(each)]
    return [part["image"], *below] if isinstance(part.get("image"), str) else below


@pytest.mark.parametrize(("name", "values"), EXAMPLES, ids=named)
def test_images_are_named_by_digest_alone(name: str, values: Path) -> None:
    images = [image for each in helm.objects(name, values) for image in digests(each)]

    assert [
        image for image in images if not re.fullmatch(r"[^:@]+@sha256:[0-9a-f]{64}", image)
    ] == []


def defined(among: list[Object]) -> list[tuple[str, str]]:
    return [(each["kind"], each["metadata"]["name"]) for each in among]


@pytest.mark.parametrize(("name", "values"), EXAMPLES, ids=named)
def test_no_object_is_rendered_twice(name: str, values: Path) -> None:
    names = defined(helm.objects(name, values))

    assert len(names) == len(set(names))
