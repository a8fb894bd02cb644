"""The product's image, built from this tree onto the test base; pods name it by its digest."""

import json

from tests.cluster.node import base, builder, house, places
from tests.cluster.node.builder import REGISTRY, Build
from tests.cluster.node.steps import step

_REPOSITORY = "glm-serve"
_KEPT = 12  # builds
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
    house.ask("ctr", "--namespace", "k8s.io", "images", "tag", "--force", built, name)
    _forget_older(digest)
    return name


def _forget_older(digest: str) -> None:
    """Some stay, for other runs of the tests: they share all layers but the code.

    Layers that no image names any more are removed by containerd.
    """
    kept = places.IMAGES / "kept.json"
    known: list[str] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    newest = [*(each for each in known if each != digest), digest][-_KEPT:]
    kept.write_text(json.dumps(newest), encoding="utf-8")
    ctr = ("ctr", "--namespace", "k8s.io", "images")
    for name in house.ask(*ctr, "list", "--quiet").split():
        image, _, its_digest = name.rpartition("@")
        own = image.startswith(f"{REGISTRY}/{_REPOSITORY}")
        if own and its_digest not in newest:
            house.ask(*ctr, "remove", name)
