"""Who may speak to whom, as NetworkPolicies say: the test cluster has no engine to ask."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from tests.chart.helm import Object

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Peer:
    """A pod; without a namespace it is somewhere outside the cluster, at its address."""

    labels: Labels
    namespace: str | None = "glm"
    address: str = "203.0.113.1"

    def matches(self, selector: Object) -> bool:
        wanted = selector.get("matchLabels", {})
        return wanted.items() <= self.labels.items()


def allowed(policies: Sequence[Object], source: Peer, target: Peer, port: int) -> bool:
    """Both sides must let it through; policies are those of the namespace glm."""
    out = _lets(policies, "Egress", source, target, port)
    return out and _lets(policies, "Ingress", target, source, port)


def _lets(policies: Sequence[Object], way: str, own: Peer, other: Peer, port: int) -> bool:
    if own.namespace != "glm":
        return True  # whatever holds elsewhere
    mine = [
        policy["spec"]
        for policy in policies
        if own.matches(policy["spec"]["podSelector"]) and way in policy["spec"]["policyTypes"]
    ]
    rules = [rule for spec in mine for rule in spec.get(way.lower(), [])]
    return not mine or any(_passes(rule, way, other, port) for rule in rules)


def _passes(rule: Object, way: str, other: Peer, port: int) -> bool:
    peers = rule.get("from" if way == "Ingress" else "to", [])
    ports = [each["port"] for each in rule.get("ports", [])]
    return (not ports or port in ports) and (not peers or any(_is(peer, other) for peer in peers))


def _is(peer: Object, other: Peer) -> bool:
    """A selector of namespaces alone takes all their pods, one of pods alone those of glm."""
    if "ipBlock" in peer:
        return ip_address(other.address) in ip_network(peer["ipBlock"]["cidr"])
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        named = {"kubernetes.io/metadata.name": other.namespace}
        if not peer["namespaceSelector"]["matchLabels"].items() <= named.items():
            return False
    elif other.namespace != "glm":
        return False
    return other.matches(peer.get("podSelector", {}))
