"""Jobs find in their image what they call."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.ci import gitlab
from tests.ci.gitlab import ROOT
from tests.cluster.node import tools

FOLDER = ROOT / "ci" / "tools"
OURS = {"ci", "k8s", "serve_app"}
OF_THE_SHELL = {"."}
# Its runner is a machine that brings a cluster up, as docs/cluster.md says; it uses no image.
ON_A_MACHINE = {"nightly"}


def stage(name: str) -> str:
    """What a stage of the Dockerfile does."""
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM|\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, name
    return found[1]


def installed(name: str) -> set[str]:
    """Programs: copied into the PATH, packages of Debian, and what every base has."""
    copied = re.findall(r"^COPY (.*) /usr/local/bin/$", stage(name), re.MULTILINE)
    words = (word for line in copied for word in line.split() if not word.startswith("--"))
    packages = re.findall(r"--no-install-recommends (.*?) &&", stage(name))
    return {Path(word).name for word in words} | set(" ".join(packages).split()) | {"python3"}


def called(image: str) -> set[str]:
    """First words of the scripts of all jobs in an image."""
    jobs = {name: job for name, job in gitlab.jobs().items() if name not in ON_A_MACHINE}
    scripts = (job["script"] for job in jobs.values() if job["image"] == image)
    lines = (line for given in scripts for line in ([given] if isinstance(given, str) else given))
    return {line.split()[0] for line in lines} - OF_THE_SHELL


@pytest.mark.parametrize(("image", "name"), [("$TOOLS_IMAGE", "tools"), ("$PYTHON_IMAGE", "code")])
def test_every_command_of_a_job_is_in_its_image(image: str, name: str) -> None:
    assert called(image)
    assert called(image) <= installed(name)


def test_every_program_that_a_step_starts_is_in_its_image() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "ci/release").glob("*.py")]
    started = re.findall(r'(?:run\(|\()\s*"(helm|buildctl|git|kubectl|docker)"', "".join(sources))
    assert {"helm", "buildctl"} <= set(started) <= installed("tools")


def test_programs_are_those_that_the_cluster_is_tested_with() -> None:
    module = (FOLDER / "go.mod").read_text(encoding="utf-8")
    for tool in (tools.HELM, tools.BUILDKIT):
        assert f"{tool.recipe.module} v{tool.recipe.version}" in module
    assert re.findall(r"^\t(\S+/cmd/\w+)$", module, re.MULTILINE) == [
        "github.com/moby/buildkit/cmd/buildctl",
        "helm.sh/helm/v4/cmd/helm",
    ]
    assert f"version=v{tools.HELM.recipe.version}" in stage("programs")


def test_every_package_that_a_step_imports_is_in_its_image() -> None:
    wanted = (FOLDER / "requirements.in").read_text(encoding="utf-8").splitlines()[1:]
    assert set(imported()) == {each.lower() for each in wanted}


def imported() -> Iterator[str]:
    """Distributions that `kubectl glm` and `ci.release` are made of."""
    known = packages_distributions()
    for path in (*(ROOT / "k8s").rglob("*.py"), *(ROOT / "ci/release").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {each.partition(".")[0] for each in names} - sys.stdlib_module_names - OURS:
                yield known[name][0].lower().replace("_", "-")


def test_the_house_s_words_are_there_where_the_product_is_not_installed() -> None:
    """`kubectl glm evaluate` reads them, in an image with a checkout alone."""
    bare = "import sys; sys.path.insert(0, sys.argv[1]); import serve_app.messages"
    subprocess.run([sys.executable, "-I", "-S", "-c", bare, str(ROOT)], check=True)


@pytest.mark.parametrize("lock", ["requirements.lock", "go.lock"])
def test_whatever_is_installed_is_known_by_its_hash(lock: str) -> None:
    text = (FOLDER / lock).read_text(encoding="utf-8")
    packages = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert packages
    assert all("--hash=sha256:" in each for each in packages)


def test_packages_are_of_the_versions_that_the_product_is_tested_with() -> None:
    locks = (FOLDER / "requirements.lock", ROOT / "requirements.lock")
    mine, theirs = (
        dict(re.findall(r"^(\S+)==([^\s;]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in locks
    )
    assert mine.items() <= theirs.items()
