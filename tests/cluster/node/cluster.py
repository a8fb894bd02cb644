"""One Kubernetes node on this machine: up from whatever is there, down to nothing."""

import os
import shutil
from pathlib import Path

import yaml

from tests.cluster.node import (
    addons,
    daemons,
    house,
    images,
    kernel,
    network,
    packages,
    pki,
    places,
    tools,
)
from tests.cluster.node.shell import Failed, run, succeeds, wait_for
from tests.cluster.node.steps import step

_READY_S = 180.0


def up() -> None:
    """Bring it up, unless it is; raises shell.Failed."""
    if os.geteuid():
        raise Failed("a node needs root: namespaces, mounts and control groups")
    packages.require()
    tools.require(*tools.ALL)
    if not is_up():
        down()
        with step("opening the node's namespaces"):
            _open()
        with step("starting etcd, containerd, registry"):
            daemons.start(*daemons.STORES)
            _forget_old_pods()
        images.require()
        with step("starting the API server"):
            daemons.start(daemons.API_SERVER)
        with step("starting controllers, scheduler, kubelet and proxy"):
            daemons.start(*daemons.CONTROL_PLANE, *daemons.NODE)
        with step("waiting for the node"):
            wait_for("the node is ready", node_ready, _READY_S)
    addons.install()
    print(f"The cluster is up: export KUBECONFIG={places.KUBECONFIG}")


def down() -> None:
    """Take all of it away but what is dear to make; where nothing is, nothing happens."""
    if house.is_open():
        with step("stopping the node"):
            # These two keep files that the next run reads; all else just ends.
            daemons.stop(daemons.KUBELET, daemons.BUILDER, daemons.CONTAINERD)
            house.close()
    network.disconnect()
    kernel.restore()
    for folder in (places.RUN, places.NODE):
        shutil.rmtree(folder, ignore_errors=True)
    if left := [folder for folder in (places.RUN, places.NODE) if folder.exists()]:
        raise Failed(f"could not be removed: {', '.join(map(str, left))}")


def is_up() -> bool:
    """Every daemon serves and the node is ready."""
    running = house.processes()
    return all(daemon.name in running for daemon in daemons.ALL) and node_ready()


def status() -> dict[str, str]:
    """A line for each daemon, and for the node."""
    running = house.processes()
    lines = {
        daemon.name: f"process {running[daemon.name].pid}" if daemon.name in running else "down"
        for daemon in daemons.ALL
    }
    return lines | {"node": "ready" if running and node_ready() else "not ready"}


def node_ready() -> bool:
    """As the API server says."""
    get = (places.BIN / "kubectl", f"--kubeconfig={places.KUBECONFIG}", "wait", "--timeout=0s")
    return succeeds(*get, "--for=condition=Ready", "node", "--all")


def _open() -> None:
    shutil.rmtree(places.LOGS, ignore_errors=True)
    kernel.prepare()
    _configure()
    network.connect(house.open_())


def _configure() -> None:
    """Write what the daemons read, where they look for it."""
    files = pki.Files(places.KUBERNETES / "pki")
    pki.make(files, (network.NODE, network.API))
    shutil.copytree(places.CONFIG, places.KUBERNETES, dirs_exist_ok=True)
    plugins = places.NODE / "cni"
    shutil.copytree(tools.CNI.place, plugins / "bin")
    (plugins / "conf").mkdir()
    shutil.move(places.KUBERNETES / "pods.conflist", plugins / "conf")
    places.RUN.mkdir(parents=True, exist_ok=True)
    shutil.copy(_resolvers(), places.RUN / "resolv.conf")
    places.KUBECONFIG.write_text(yaml.safe_dump(_kubeconfig(files)), encoding="utf-8")
    places.KUBECONFIG.chmod(0o600)


def _resolvers() -> Path:
    """The machine's own, not systemd's listener on its loopback."""
    real = Path("/run/systemd/resolve/resolv.conf")
    return real if real.exists() else Path("/etc/resolv.conf")


def _kubeconfig(files: pki.Files) -> dict[str, object]:
    api = {
        "server": f"https://{network.NODE}:6443",
        "certificate-authority-data": _base64(files.ca),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "glm", "cluster": api}],
        "users": [{"name": "admin", "user": {"token": files.admin_token}}],
        "contexts": [{"name": "glm", "context": {"cluster": "glm", "user": "admin"}}],
        "current-context": "glm",
    }


def _base64(path: Path) -> str:
    return run("base64", "--wrap=0", path)


def _forget_old_pods() -> None:
    """The containers of a former run: their processes are gone, their layers would stay."""
    ctr = ("ctr", "--namespace", "k8s.io", "containers")
    if left := house.ask(*ctr, "list", "--quiet").split():
        house.ask(*ctr, "delete", *left)
