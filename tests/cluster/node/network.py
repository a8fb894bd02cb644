"""The wire between this machine and the node, and what lets its builds reach the network."""

from ipaddress import IPv4Address, IPv4Network

import psutil

from tests.cluster.node.shell import run, succeeds, wait_for

MACHINE = IPv4Address("10.250.0.1")
NODE = IPv4Address("10.250.0.2")
WIRE = IPv4Network("10.250.0.0/30")
PODS = IPv4Network("10.244.0.0/16")
SERVICES = IPv4Network("10.96.0.0/16")
API = SERVICES[1]

_HERE, _THERE = "glm-machine", "glm-node"  # the two ends
_GONE_S = 60.0
_OURS = ("-m", "comment", "--comment", "glm-serve-cluster")
_RULES = (  # table, chain, rule; Docker sets the policy of FORWARD to DROP
    ("nat", "POSTROUTING", ("-s", str(WIRE), "!", "-o", _HERE, *_OURS, "-j", "MASQUERADE")),
    ("filter", "FORWARD", ("-i", _HERE, *_OURS, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-o", _HERE, *_OURS, "-j", "ACCEPT")),
)


def connect(first: psutil.Process) -> None:
    """Give both ends addresses, and this machine the way to pods and services."""
    there = ("peer", "name", _THERE, "netns", str(first.pid))
    run(*_ip("link", "add", _HERE, "type", "veth", *there))
    run(*_ip("addr", "add", f"{MACHINE}/{WIRE.prefixlen}", "dev", _HERE))
    run(*_ip("link", "set", _HERE, "up"))
    inside = ("nsenter", "--target", str(first.pid), "--net", "--")
    run(*inside, *_ip("link", "set", "lo", "up"))
    run(*inside, *_ip("addr", "add", f"{NODE}/{WIRE.prefixlen}", "dev", _THERE))
    run(*inside, *_ip("link", "set", _THERE, "up"))
    run(*inside, *_ip("route", "add", "default", "via", str(MACHINE)))
    for network in (PODS, SERVICES):
        run(*_ip("route", "add", str(network), "via", str(NODE)))
    for table, chain, rule in _RULES:
        run("iptables", "-w", "-t", table, "-I", chain, *rule)


def disconnect() -> None:
    """Take back what `connect` gave; routes go with the wire."""
    succeeds(*_ip("link", "delete", _HERE))  # unless the kernel has, for the other end is gone
    wait_for("the wire is gone", lambda: not succeeds(*_ip("link", "show", _HERE)), _GONE_S)
    for table, chain, rule in _RULES:
        while succeeds("iptables", "-w", "-t", table, "-C", chain, *rule):
            run("iptables", "-w", "-t", table, "-D", chain, *rule)


def _ip(*arguments: str) -> tuple[str, ...]:
    return ("ip", *arguments)
