"""What runs in the cluster beside the tests: names, the Gateway API, metrics."""

import shutil
from pathlib import Path
from string import Template

from tests.cluster.node import places, tools
from tests.cluster.node.daemons import kubectl
from tests.cluster.node.shell import run
from tests.cluster.node.steps import step

_GATEWAY = "envoy-gateway-system"
_WAIT = "--timeout=600s"


def install() -> None:
    """All of them, ready when it returns; nothing happens to those that are."""
    with step("starting CoreDNS"):
        _apply("coredns.yaml")
        _rolled_out("kube-system", "coredns")
    with step("installing Envoy Gateway"):
        helm(
            *("upgrade", "--install", "envoy-gateway", _chart(), "--wait", _WAIT),
            *("--namespace", _GATEWAY, "--create-namespace"),
            *("--set", "deployment.envoyGateway.resources.requests.memory=64Mi"),
        )
        _apply("gateway-class.yaml")
    with step("starting Prometheus"):
        _apply("prometheus.yaml")
        _rolled_out("monitoring", "prometheus")
    with step("starting the adapter of metrics for autoscalers"):
        _apply("prometheus-adapter.yaml")
        _rolled_out("monitoring", "prometheus-adapter")


def helm(*arguments: str | Path) -> str:
    """Against this cluster; its own folders lie with the node."""
    env = {
        "KUBECONFIG": str(places.KUBECONFIG),
        **{
            f"HELM_{kind}_HOME": str(places.NODE / "helm" / kind.lower())
            for kind in ("CACHE", "CONFIG", "DATA")
        },
    }
    return run(places.BIN / "helm", *arguments, env=env)


def _chart() -> Path:
    """The chart lies in the module with holes for what a release fills in."""
    chart = places.NODE / "envoy-gateway-chart"
    source = tools.ENVOY_GATEWAY.place / "charts" / "gateway-helm"
    shutil.copytree(source, chart, dirs_exist_ok=True)
    values = Template((chart / "values.tmpl.yaml").read_text(encoding="utf-8"))
    filled = values.safe_substitute(
        GatewayImage="localhost:5000/envoy-gateway:1", GatewayImagePullPolicy="IfNotPresent"
    )
    (chart / "values.yaml").write_text(filled, encoding="utf-8")
    return chart


def _apply(manifest: str) -> None:
    kubectl("apply", "--server-side", "--filename", str(places.MANIFESTS / manifest))


def _rolled_out(namespace: str, deployment: str) -> None:
    kubectl("--namespace", namespace, "rollout", "status", f"deployment/{deployment}", _WAIT)
