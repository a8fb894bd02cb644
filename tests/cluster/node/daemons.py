"""The node's programs as a table: how each is started, and how one sees that it serves.

Paths are those inside the node (see `first`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import house, network, places
from tests.cluster.node.first import HOSTNAME
from tests.cluster.node.shell import Failed, run, succeeds, wait_for

_PKI = "/var/lib/kubernetes/pki"
_KUBECONFIG = "--kubeconfig=/var/lib/kubeconfig"
_ETCD = "http://127.0.0.1:2379"
_START_S = 180.0
_FIRST = -10  # elsewhere the API has machines of its own; here models would keep it waiting


@dataclass(frozen=True, slots=True)
class Daemon:
    """`program` is a path, or the name of one that we built."""

    program: str
    arguments: tuple[str, ...]
    serves: Callable[[], bool]
    niceness: int = 0

    @property
    def name(self) -> str:
        return Path(self.program).name

    @property
    def path(self) -> str:
        return self.program if "/" in self.program else str(places.BIN / self.program)


def kubectl(*arguments: str, given: str | None = None) -> str:
    """As the cluster's administrator."""
    kubeconfig = f"--kubeconfig={places.KUBECONFIG}"
    return run(places.BIN / "kubectl", kubeconfig, *arguments, given=given)


def _inside(*command: str) -> Callable[[], bool]:
    return lambda: succeeds(*house.inside(*command))


def _answers(url: str) -> Callable[[], bool]:
    return _inside("curl", "--silent", "--fail", "--output", "/dev/null", url)


def _ready() -> bool:
    api = places.BIN / "kubectl", f"--kubeconfig={places.KUBECONFIG}"
    return succeeds(*api, "get", "--raw", "/readyz")


ETCD = Daemon(
    "/usr/bin/etcd",
    (
        "--data-dir=/var/lib/etcd",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # the next `up` begins with an empty one
        "--auto-compaction-retention=5m",
        f"--quota-backend-bytes={512 * 2**20}",
    ),
    _answers(f"{_ETCD}/health"),
    _FIRST,
)
CONTAINERD = Daemon(
    "/usr/bin/containerd",
    ("--config=/var/lib/kubernetes/containerd.toml",),
    _inside("ctr", "version"),
)
REGISTRY = Daemon(
    "/usr/bin/docker-registry",
    ("serve", "/var/lib/kubernetes/registry.yaml"),
    _answers("http://127.0.0.1:5000/v2/"),
)
API_SERVER = Daemon(
    "kube-apiserver",
    (
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={network.NODE}",
        f"--tls-cert-file={_PKI}/api.crt",
        f"--tls-private-key-file={_PKI}/api.key",
        f"--client-ca-file={_PKI}/ca.crt",
        f"--token-auth-file={_PKI}/tokens.csv",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={_PKI}/accounts.pub",
        f"--service-account-signing-key-file={_PKI}/accounts.key",
        f"--service-cluster-ip-range={network.SERVICES}",
        f"--kubelet-client-certificate={_PKI}/kubelet-client.crt",
        f"--kubelet-client-key={_PKI}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        # To APIs that pods serve, such as metrics, it speaks for whoever has asked.
        f"--proxy-client-cert-file={_PKI}/front-proxy.crt",
        f"--proxy-client-key-file={_PKI}/front-proxy.key",
        f"--requestheader-client-ca-file={_PKI}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
    ),
    _ready,
    _FIRST,
)
CONTROLLER_MANAGER = Daemon(
    "kube-controller-manager",
    (
        _KUBECONFIG,
        f"--service-account-private-key-file={_PKI}/accounts.key",
        f"--root-ca-file={_PKI}/ca.crt",
        "--use-service-account-credentials",
        "--allocate-node-cidrs",
        f"--cluster-cidr={network.PODS}",
        "--leader-elect=false",
    ),
    _inside("curl", "--silent", "--fail", "--insecure", "https://127.0.0.1:10257/healthz"),
)
SCHEDULER = Daemon(
    "kube-scheduler",
    (_KUBECONFIG, "--leader-elect=false"),
    _inside("curl", "--silent", "--fail", "--insecure", "https://127.0.0.1:10259/healthz"),
)
KUBELET = Daemon(
    "kubelet",
    (
        "--config=/var/lib/kubernetes/kubelet.yaml",
        _KUBECONFIG,
        f"--hostname-override={HOSTNAME}",
        f"--node-ip={network.NODE}",
    ),
    _answers("http://127.0.0.1:10248/healthz"),
)
PROXY = Daemon(
    "kube-proxy",
    (
        _KUBECONFIG,
        f"--cluster-cidr={network.PODS}",
        f"--hostname-override={HOSTNAME}",
        # The table of connections belongs to the machine, not to the node's namespace.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ),
    _answers("http://127.0.0.1:10256/healthz"),
)
BUILDER = Daemon(
    "buildkitd",
    ("--config=/var/lib/kubernetes/buildkitd.toml",),
    _inside(str(places.BIN / "buildctl"), "debug", "workers"),
)

STORES = (ETCD, CONTAINERD, REGISTRY)
CONTROL_PLANE = (API_SERVER, CONTROLLER_MANAGER, SCHEDULER)
NODE = (KUBELET, PROXY)
ALL = (*STORES, *CONTROL_PLANE, *NODE)


def start(*daemons: Daemon) -> None:
    """All of them, then wait until each serves; raises shell.Failed with the end of its log."""
    for daemon in daemons:
        if daemon.name not in house.processes():
            house.start(daemon.path, *daemon.arguments, niceness=daemon.niceness)
    for daemon in daemons:
        try:
            wait_for(f"{daemon.name} serves", daemon.serves, _START_S)
        except Failed as failure:
            log = places.LOGS / f"{daemon.name}.log"
            raise Failed(f"{failure}; {run('tail', '--lines=5', log)}") from None


def stop(*daemons: Daemon, seconds: float = 60.0) -> None:
    """Ask each to end and wait for it; what is not running is no error."""
    for daemon in daemons:
        process = house.processes().get(daemon.name)
        if process is not None:
            process.terminate()
            process.wait(seconds)
