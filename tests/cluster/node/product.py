"""The product's image, built from this tree onto the test base; pods name it by its digest."""

import json
from collections.abc import Callable, Sequence
from functools import cache

from tests.cluster.node import base, builder, house, places
from tests.cluster.node.builder import REGISTRY, Build
from tests.cluster.node.shell import Failed
from tests.cluster.node.steps import step

_REPOSITORY = "glm-serve"
_KEPT = 12  # builds
_CTR = ("ctr", "--namespace", "k8s.io")
# Debian's Python comes without its headers and without what makes virtual environments.
BUILD_PACKAGES = "gcc libc6-dev libpython3-dev python3-venv"


def image(tag: str = "latest", **arguments: str) -> str:
    """Build what has changed since the last time; `arguments` are build arguments."""
    with builder.running(), step(f"building the product's image ({tag})"):
        digest = builder.build(
            Build(
                f"{_REPOSITORY}:{tag}",
                context=places.REPOSITORY,
                dockerfile=places.REPOSITORY / "Dockerfile",
                arguments={
                    "BASE": base.image(),
                    "BUILD_PACKAGES": BUILD_PACKAGES,
                    **arguments,
                },
                push=False,
            )
        )
    name = f"{REGISTRY}/{_REPOSITORY}@{digest}"
    # BuildKit names it by tag and digest together, which is no name that a pod gives.
    built = f"{REGISTRY}/{_REPOSITORY}:{tag}@{digest}"
    house.ask(*_CTR, "images", "tag", "--force", built, name)
    _forget_older(digest)
    return name


def kept(known: Sequence[str], dependencies: Callable[[str], str]) -> list[str]:
    """Which builds stay for other runs of the tests, the newest last.

    Builds share the layer of their dependencies, which takes 9 GB: there may be two of those.
    """
    two = list(dict.fromkeys(dependencies(each) for each in reversed(known)))[:2]
    return [each for each in known if dependencies(each) in two][-_KEPT:]


def _forget_older(digest: str) -> None:
    """Layers that no image names any more are removed by containerd."""
    file = places.IMAGES / "kept.json"
    known: list[str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    newest = kept([*(each for each in known if each != digest), digest], cache(_largest_layer))
    file.write_text(json.dumps(newest), encoding="utf-8")
    for name in house.ask(*_CTR, "images", "list", "--quiet").split():
        image, _, its_digest = name.rpartition("@")
        own = image.startswith(f"{REGISTRY}/{_REPOSITORY}")
        if own and its_digest not in newest:
            house.ask(*_CTR, "images", "remove", name)


def _largest_layer(digest: str) -> str:
    """Its digest; that of the build itself where containerd has lost it."""
    try:
        manifest = json.loads(house.ask(*_CTR, "content", "get", digest))
    except Failed:
        return digest
    return str(max(manifest["layers"], key=lambda layer: layer["size"])["digest"])
