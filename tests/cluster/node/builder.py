"""Builds images where the kubelet finds them: BuildKit works on the node's own containerd.

Nothing is exported and imported again, which with 6.5 GB of CUDA takes minutes.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.node import daemons, places
from tests.cluster.node.shell import run_logged

REGISTRY = "localhost:5000"


@dataclass(frozen=True, slots=True)
class Build:
    """One image: `contexts` are further folders that its Dockerfile copies from."""

    name: str
    context: Path
    dockerfile: Path
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, Path] = field(default_factory=dict)
    push: bool = True


@contextmanager
def running() -> Iterator[None]:
    """The builder, which takes memory, only while it is wanted."""
    daemons.start(daemons.BUILDER)
    try:
        yield
    finally:
        daemons.stop(daemons.BUILDER)


def build(wanted: Build) -> str:
    """Return the image's digest; layers that are there already are not made again."""
    said = places.NODE / "build.json"
    run_logged(
        places.LOGS / "build.log",
        places.BIN / "buildctl",
        f"--addr=unix://{places.RUN}/buildkit/buildkitd.sock",
        *("build", "--frontend=dockerfile.v0", "--progress=plain"),
        f"--local=context={wanted.context}",
        f"--local=dockerfile={wanted.dockerfile.parent}",
        f"--opt=filename={wanted.dockerfile.name}",
        *([f"--opt=target={wanted.target}"] if wanted.target else []),
        *(f"--opt=build-arg:{name}={value}" for name, value in wanted.arguments.items()),
        *(f"--opt=context:{name}=local:{name}" for name in wanted.contexts),
        *(f"--local={name}={folder}" for name, folder in wanted.contexts.items()),
        f"--output={_output(wanted)}",
        f"--metadata-file={said}",
    )
    digest: str = json.loads(said.read_text(encoding="utf-8"))["containerimage.digest"]
    return digest


def _output(wanted: Build) -> str:
    """Packed by zstd, four times as fast as gzip; named by its digest as well as by its tag."""
    return (
        f"type=image,name={REGISTRY}/{wanted.name},name-canonical=true,unpack=true,"
        f"compression=zstd,oci-mediatypes=true,push={str(wanted.push).lower()}"
    )
