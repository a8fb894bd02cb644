"""GitLab's pipeline on this machine: `.gitlab-ci.yml` run by gitlab-ci-local, job by job.

Needs Node 20, npm, rsync and git. What it does not honour is told in docs/pipeline.md.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import places

_LOCK = Path(__file__).parent / "gitlab"
_PROJECT = "https://gitlab.example/glm/glm-serve.git"
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_OURS = (str(places.CACHE), str(places.REPOSITORY), str(Path.home()), f"{tempfile.gettempdir()}/")
_PLACES = re.compile(rf"(?:{'|'.join(map(re.escape, _OURS))})[\w./@-]*")
_ADDRESSES = re.compile(r"\b(?:127|10)(?:\.\d+){3}|\blocalhost\b")


def program() -> Path:
    """gitlab-ci-local of the lock, installed once, outside the tree."""
    files = [_LOCK / name for name in ("package.json", "package-lock.json")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    place = places.TOOLS / f"gitlab-ci-local-{digest[:12]}"
    if not place.is_dir():
        places.TOOLS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=places.TOOLS) as folder:
            for path in files:
                shutil.copy(path, folder)
            npm = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
            subprocess.run(npm, cwd=folder, check=True)
            shutil.copytree(folder, place, symlinks=True)
    return place / "node_modules" / ".bin" / "gitlab-ci-local"


@dataclass(frozen=True, slots=True)
class Project:
    """A repository with the tree as it is, and the variables that its project has."""

    folder: Path
    variables: Mapping[str, str]

    def tag(self, name: str, files: Mapping[str, str]) -> None:
        """Commit the tree with these files changed, and tag it."""
        for path in _tracked():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(places.REPOSITORY / path, target)
        for file, text in files.items():
            (self.folder / file).write_text(text, encoding="utf-8")
        for words in (
            ("init", "--quiet", "--initial-branch=main"),
            ("remote", "add", "origin", _PROJECT),
            ("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"),
            ("config", "user.name", "Li"),
            ("config", "user.email", "li@example.org"),
            ("add", "--all"),
            ("commit", "--quiet", f"--message=Release {name}"),
            ("tag", name),
        ):
            subprocess.run(("git", *words), cwd=self.folder, check=True)

    def run(self, jobs: Sequence[str], log: Path, **predefined: str) -> int:
        """Run these jobs with what GitLab predefines for such a pipeline; return the exit code."""
        variables = {**self.variables, **predefined}
        home = self.folder.parent / "home"
        with log.open("a", encoding="utf-8") as written:
            return subprocess.run(
                [
                    program(),
                    *("--force-shell-executor", "--shell-isolation", "--no-artifacts-to-source"),
                    "--timestamps",
                    *("--ignore-predefined-vars", ",".join(predefined), f"--home={home}"),
                    *([] if "CI_COMMIT_BRANCH" in predefined else _NO_BRANCH),
                    *(f"--variable={name}={value}" for name, value in variables.items()),
                    *jobs,
                ],
                cwd=self.folder,
                env=_environment(),
                stdout=written,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode


_NO_BRANCH = ("--unset-variable", "CI_COMMIT_BRANCH")


def _tracked() -> Iterator[str]:
    """What would be committed now."""
    words = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(words, cwd=places.REPOSITORY, capture_output=True, text=True, check=True)
    names = filter(None, done.stdout.split("\0"))
    return (name for name in names if (places.REPOSITORY / name).is_file())


def _environment() -> Mapping[str, str]:
    """A runner's: our Python first, then the cluster's tools."""
    ours = (Path(sys.executable).parent, places.BIN, os.environ["PATH"])
    nowhere = {f"HELM_{kind}_HOME": str(places.CACHE / "nowhere") for kind in _HELM}
    return {**os.environ, **nowhere, "PATH": os.pathsep.join(map(str, ours)), "NO_COLOR": "1"}


_HELM = ("CACHE", "CONFIG", "DATA")


def cleaned(log: str) -> str:
    """Without colours, folders and addresses of this machine."""
    plain = _COLOUR.sub("", log)
    return _ADDRESSES.sub("host.example", _PLACES.sub("…", plain))
