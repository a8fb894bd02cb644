"""The images of the cluster itself: made once, kept in the node's registry."""

from tests.cluster.node import base, builder, house, places, tools
from tests.cluster.node.builder import Build
from tests.cluster.node.shell import succeeds
from tests.cluster.node.steps import step
from tests.cluster.node.tools import Tool

_OURS = {  # image and the tool it carries
    "pause:1": tools.PAUSE,
    "coredns:1": tools.COREDNS,
    "envoy-gateway:1": tools.ENVOY_GATEWAY,
    "envoy:1": tools.ENVOY,
    "prometheus:1": None,
    "redis:1": None,
    "prometheus-adapter:1": tools.PROMETHEUS_ADAPTER,
}


def require() -> None:
    """Build those that the registry lacks."""
    missing = [name for name in _OURS if not _kept(name)]
    has_base = _kept(f"debian-python:{base.tag()}")
    if missing or not has_base:
        with builder.running():
            if not has_base:
                with step("making the base of the test images"):
                    builder.build(base.make())
                    base.clear()
            for name in missing:
                with step(f"building image {name}"):
                    builder.build(_of(name, _OURS[name]))


def _of(name: str, tool: Tool | None) -> Build:
    return Build(
        name,
        context=places.IMAGE_SOURCES,
        dockerfile=places.IMAGE_SOURCES / "Dockerfile",
        target=name.partition(":")[0],
        arguments={"BASE": base.image()},
        contexts={"tool": tool.place} if tool else {},
    )


def _kept(name: str) -> bool:
    image, _, tag = name.partition(":")
    url = f"http://localhost:5000/v2/{image}/manifests/{tag}"
    accept = "Accept: application/vnd.oci.image.manifest.v1+json"
    asked = ("curl", "--silent", "--fail", "--head", "--header", accept, url)
    return succeeds(*house.inside(*asked))
